package workflow

import (
	"fmt"
	"regexp"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// settings checks the settings of one step.
func (l *linter) settings(s Step) {
	m := s.Message
	switch s.Kind {
	case IntersectAndValidate:
		l.atLeast(s, "maxSize", m.GetIntersectAndValidateStep().GetMaxSize(), 1)
		l.atLeast(s, "maximumNewItemsAllowed", m.GetIntersectAndValidateStep().GetMaximumNewItemsAllowed(), 0)
	case GenerateRandomBytes:
		l.atLeast(s, "byteCount", m.GetGenerateRandomBytesStep().GetByteCount(), 1)
	case GenerateSerializedRlweKeyPair:
		l.parameters(s)
	case ExecutePrivateMembershipQueries:
		q := m.GetExecutePrivateMembershipQueriesStep()
		l.fileCount(s, "encryptedQueryResultFileCount", q.GetEncryptedQueryResultFileCount())
		l.atLeast(s, "maxQueriesPerShard", q.GetMaxQueriesPerShard(), 1)
		l.shape(s, q.GetShardCount(), q.GetBucketsPerShard())
		if p := s.Parameters; p != nil && !p.GetShardParameters().GetEnablePaddingNonces() {
			l.add(diag.CodeValue, l.settingPath(s, "parameters"), "%s needs enable_padding_nonces", s.called())
		}
	case BuildPrivateMembershipQueries:
		q := m.GetBuildPrivateMembershipQueriesStep()
		l.fileCount(s, "encryptedQueryBundleFileCount", q.GetEncryptedQueryBundleFileCount())
		l.fileCount(s, "queryIdToIdsFileCount", q.GetQueryIdToIdsFileCount())
		l.atLeast(s, "queriesPerShard", q.GetQueriesPerShard(), 1)
		l.shape(s, q.GetShardCount(), q.GetBucketsPerShard())
	case DecryptPrivateMembershipQueryResults:
		l.fileCount(s, "decryptEventDataSetFileCount", m.GetDecryptPrivateMembershipQueryResultsStep().GetDecryptEventDataSetFileCount())
		l.parameters(s)
	case ReadEncryptedEventsFromBigQuery:
		q := m.GetReadEncryptedEventsFromBigQueryStep()
		l.table(s, q.GetProjectId(), q.GetDatasetId(), "tableOrViewId", q.GetTableOrViewId(),
			q.GetKeyColumnName(), q.GetEventDataColumnName(), q.GetDateColumnName())
	case WriteKeysToBigQuery:
		q := m.GetWriteKeysToBigQueryStep()
		l.table(s, q.GetProjectId(), q.GetDatasetId(), "tableId", q.GetTableId(), q.GetKeyColumnName(), q.GetDateColumnName())
	case WriteEventsToBigQuery:
		q := m.GetWriteEventsToBigQueryStep()
		l.table(s, q.GetProjectId(), q.GetDatasetId(), "tableId", q.GetTableId(),
			q.GetKeyColumnName(), q.GetEventDataColumnName(), q.GetDateColumnName())
	default: // no settings, or none that could be wrong
	}
}

func (l *linter) settingPath(s Step, setting string) string {
	return stepPath(s.Index, jsonName(s.Kind), setting)
}

func (l *linter) atLeast(s Step, setting string, value, least int32) {
	if value < least {
		l.add(diag.CodeValue, l.settingPath(s, setting), "%s of %s is %d; at least %d is allowed", setting, s.called(), value, least)
	}
}

func (l *linter) fileCount(s Step, setting string, value int32) {
	l.atLeast(s, setting, value, 1)
	if value > MaxFileCount {
		l.add(diag.CodeValue, l.settingPath(s, setting), "%s of %s is %d; at most %d is allowed", setting, s.called(), value, MaxFileCount)
	}
}

// shape checks the cut of the database, which a step gives twice: in its settings and in its parameters.
func (l *linter) shape(s Step, shards, buckets int32) {
	l.atLeast(s, "shardCount", shards, 1)
	l.atLeast(s, "bucketsPerShard", buckets, 1)
	l.parameters(s)
	p := s.Parameters.GetShardParameters()
	if p == nil {
		return
	}
	if p.GetNumberOfShards() != shards {
		l.add(diag.CodeRule, l.settingPath(s, "shardCount"), "%s has %d shards, but %d in its parameters", s.called(), shards, p.GetNumberOfShards())
	}
	want := int64(buckets)
	reason := ""
	if p.GetEnablePaddingNonces() {
		want++
		reason = "padding nonces take one more bucket: number_of_buckets_per_shard must be buckets_per_shard + 1"
	}
	if int64(p.GetNumberOfBucketsPerShard()) != want {
		l.add(diag.CodeRule, l.settingPath(s, "bucketsPerShard"),
			"%s has %d buckets per shard, and %d in its parameters; %d is allowed there", s.called(), buckets, p.GetNumberOfBucketsPerShard(), want).
			hint(reason)
	}
}

// parameters checks that there are parameters, and that they are complete. What values make a sound scheme is for
// the lattice code to say.
func (l *linter) parameters(s Step) {
	path := l.settingPath(s, "parameters")
	packed := packedParameters(s.Message)
	switch {
	case packed == nil:
		l.add(diag.CodeMissing, path, "%s has no parameters", s.called()).hint("a " + ParametersType + " is needed")
		return
	case s.Parameters == nil:
		l.add(diag.CodeValue, path, "parameters of %s hold %q, or are damaged; %s is allowed", s.called(), shorten(packed.GetTypeUrl()), ParametersType)
		return
	}
	if s.Parameters.GetShardParameters() == nil {
		l.add(diag.CodeMissing, path+".shardParameters", "parameters of %s lack shard_parameters", s.called())
	}
	c := s.Parameters.GetCryptoParameters()
	if len(c.GetRequestModulus()) == 0 || len(c.GetResponseModulus()) == 0 {
		l.add(diag.CodeMissing, path+".cryptoParameters", "parameters of %s lack a modulus", s.called())
		return
	}
	for _, setting := range []struct {
		name  string
		value int32
	}{
		{"logDegree", c.GetLogDegree()},
		{"logT", c.GetLogT()},
		{"variance", c.GetVariance()},
		{"levelsOfRecursion", c.GetLevelsOfRecursion()},
		{"logDecompositionModulus", c.GetLogDecompositionModulus()},
	} {
		if setting.value < 1 {
			l.add(diag.CodeValue, path+".cryptoParameters."+setting.name, "%s of %s is %d; at least 1 is allowed", setting.name, s.called(), setting.value)
		}
	}
}

// agreement checks that the steps of the private-membership flow, which two parties run, fit together.
func (l *linter) agreement() {
	var first *Step
	var build, execute *Step
	for i := range l.Steps {
		s := &l.Steps[i]
		switch s.Kind {
		case BuildPrivateMembershipQueries:
			build = s
		case ExecutePrivateMembershipQueries:
			execute = s
		default:
		}
		if s.Parameters == nil {
			continue
		}
		if first == nil {
			first = s
		} else if what := differ(first.Parameters, s.Parameters); what != "" {
			l.add(diag.CodeRule, l.settingPath(*s, "parameters"), "%s and %s have different %s", first.called(), s.called(), what).
				hint("results can be decrypted only with the parameters that keys and queries were made with")
		}
	}
	if build == nil || execute == nil {
		return
	}
	b, e := build.Message.GetBuildPrivateMembershipQueriesStep(), execute.Message.GetExecutePrivateMembershipQueriesStep()
	if b.GetShardCount() != e.GetShardCount() || b.GetBucketsPerShard() != e.GetBucketsPerShard() {
		l.add(diag.CodeRule, stepPath(execute.Index, jsonName(execute.Kind)), "%s has %s, but %s has %s",
			build.called(), cut(b.GetShardCount(), b.GetBucketsPerShard()), execute.called(), cut(e.GetShardCount(), e.GetBucketsPerShard())).
			hint("both parties must cut the key space alike")
	}
	if b.GetAddPaddingQueries() && b.GetQueriesPerShard() > e.GetMaxQueriesPerShard() {
		l.add(diag.CodeRule, l.settingPath(*execute, "maxQueriesPerShard"),
			"%s pads to %d queries per shard, but %s refuses more than %d", build.called(), b.GetQueriesPerShard(), execute.called(), e.GetMaxQueriesPerShard())
	}
}

func cut(shards, buckets int32) string {
	return fmt.Sprintf("%d shards of %d buckets", shards, buckets)
}

// differ names what two steps' parameters differ in and must not. Numbers of required queries are not used by anyone.
func differ(a, b *batchpb.Parameters) string {
	if !proto.Equal(a.GetCryptoParameters(), b.GetCryptoParameters()) {
		return "crypto_parameters"
	}
	x, y := a.GetShardParameters(), b.GetShardParameters()
	if x.GetNumberOfShards() != y.GetNumberOfShards() || x.GetNumberOfBucketsPerShard() != y.GetNumberOfBucketsPerShard() ||
		x.GetEnablePaddingNonces() != y.GetEnablePaddingNonces() {
		return "shard_parameters"
	}
	return ""
}

// What BigQuery names may consist of. They become part of SQL, so nothing else may pass.
var (
	projectName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)
	tableName   = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	columnName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// table checks the names of a BigQuery step. Columns may be empty: they have defaults.
func (l *linter) table(s Step, project, dataset, tableSetting, table string, columns ...string) {
	for _, name := range []struct {
		setting, value string
		allowed        *regexp.Regexp
		characters     string
	}{
		{"projectId", project, projectName, "letters, digits and _ . : -"},
		{"datasetId", dataset, tableName, "letters, digits and _ -"},
		{tableSetting, table, tableName, "letters, digits and _ -"},
	} {
		if !name.allowed.MatchString(name.value) {
			l.add(diag.CodeValue, l.settingPath(s, name.setting), "%s of %s is %q; %s are allowed",
				name.setting, s.called(), shorten(name.value), name.characters)
		}
	}
	for _, column := range columns {
		if column != "" && !columnName.MatchString(column) {
			l.add(diag.CodeValue, stepPath(s.Index, jsonName(s.Kind)), "column %q of %s is no name; letters, digits and _ are allowed",
				shorten(column), s.called())
		}
	}
}
