package membership

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// Limits on parameters, beside those that the ring sets. Those of the first group are
// the reference's; maxLogT is ours and far above what any noise budget admits.
const (
	maxShards   = 1<<30 - 1
	maxBuckets  = 1 << 30
	maxLevels   = 30
	maxVariance = 256
	maxLogT     = 31
)

// Scheme is one checked set of parameters with everything that follows from it. It
// is immutable and safe for concurrent use; making one takes a few milliseconds.
type Scheme struct {
	params   *batchpb.Parameters
	shards   int32
	buckets  int32
	nonces   bool
	request  *rlwe.Ring
	response *rlwe.Ring
	switcher *rlwe.Switcher
	model    rlwe.ErrorModel
	noise    Noise

	t        uint64 // plaintext modulus, 2^logT + 1
	logT     int
	variance int
	levels   int
	logCF    int // base-2 logarithm of the slots per query polynomial
	logBase  int
	perLevel int // slots per level (npl)
	perQuery int // slots per query
	chunk    int // bytes of contents per polynomial
}

// New checks parameters and refuses those that cannot work, with the reason: all
// faults of form at once, then the rings, then the noise.
func New(p *batchpb.Parameters) (*Scheme, error) { return newScheme(p, rlwe.NewRing) }

// ringMaker is rlwe.NewRing, or rlwe.NewPlainRing in tests.
type ringMaker func(words []uint64, logN int) (*rlwe.Ring, error)

func newScheme(p *batchpb.Parameters, make ringMaker) (*Scheme, error) {
	sp, cp := p.GetShardParameters(), p.GetCryptoParameters()
	if err := checkForm(sp, cp); err != nil {
		return nil, fmt.Errorf("private membership parameters: %w", err)
	}
	s := &Scheme{
		params:   proto.Clone(p).(*batchpb.Parameters),
		shards:   sp.GetNumberOfShards(),
		buckets:  sp.GetNumberOfBucketsPerShard(),
		nonces:   sp.GetEnablePaddingNonces(),
		t:        1<<cp.GetLogT() + 1,
		logT:     int(cp.GetLogT()),
		variance: int(cp.GetVariance()),
		levels:   int(cp.GetLevelsOfRecursion()),
		logCF:    int(cp.GetLogCompressionFactor()),
		logBase:  int(cp.GetLogDecompositionModulus()),
	}
	if err := s.makeRings(cp, make); err != nil {
		return nil, fmt.Errorf("private membership parameters: %w", err)
	}
	s.perLevel = slotsPerLevel(int(s.buckets), s.levels)
	s.perQuery = s.perLevel * s.levels
	s.chunk = s.request.N() * s.logT / 8
	if err := s.checkShape(); err != nil {
		return nil, fmt.Errorf("private membership parameters: %w", err)
	}
	s.noise = s.computeNoise()
	if err := s.noise.check(); err != nil {
		return nil, fmt.Errorf("private membership parameters: %w", err)
	}
	return s, nil
}

// checkForm reports everything that single numbers tell.
func checkForm(sp *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) error {
	var errs []error
	in := func(name string, v, low, high int32) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s is %d, must be from %d to %d", name, v, low, high))
		}
	}
	if sp == nil {
		errs = append(errs, errors.New("shard_parameters is missing"))
	} else {
		in("number_of_shards", sp.GetNumberOfShards(), 1, maxShards)
		in("number_of_buckets_per_shard", sp.GetNumberOfBucketsPerShard(), 1, maxBuckets)
		if sp.GetEnablePaddingNonces() && sp.GetNumberOfBucketsPerShard() == 1 {
			errs = append(errs, errors.New("number_of_buckets_per_shard is 1, must be 2 or more with padding nonces: the last bucket is the nonce's"))
		}
	}
	if cp == nil {
		errs = append(errs, errors.New("crypto_parameters is missing"))
		return errors.Join(errs...)
	}
	in("log_degree", cp.GetLogDegree(), rlwe.MinLogDegree, rlwe.MaxLogDegree)
	in("log_t", cp.GetLogT(), 1, maxLogT)
	in("variance", cp.GetVariance(), 1, maxVariance)
	in("levels_of_recursion", cp.GetLevelsOfRecursion(), 1, maxLevels)
	// The evaluator needs at least one Galois key, and halves the degree once per key.
	in("log_compression_factor", cp.GetLogCompressionFactor(), 1, max(1, cp.GetLogDegree()))
	in("log_decomposition_modulus", cp.GetLogDecompositionModulus(), 1, 62)
	return errors.Join(errs...)
}

// makeRings builds both rings and what joins them.
func (s *Scheme) makeRings(cp *batchpb.Parameters_CryptoParameters, make ringMaker) (err error) {
	logN := int(cp.GetLogDegree())
	if s.request, err = make(cp.GetRequestModulus(), logN); err != nil {
		return fmt.Errorf("request_modulus: %w", err)
	}
	if s.response, err = make(cp.GetResponseModulus(), logN); err != nil {
		return fmt.Errorf("response_modulus: %w", err)
	}
	if bits := s.request.Modulus().Bits(); s.logBase > bits {
		return fmt.Errorf("log_decomposition_modulus is %d, must not be above the %d bits of request_modulus", s.logBase, bits)
	}
	for name, r := range map[string]*rlwe.Ring{"request_modulus": s.request, "response_modulus": s.response} {
		if bits := r.Modulus().Bits(); s.logT > bits-1 {
			return fmt.Errorf("log_t is %d, must be below the %d bits of %s", s.logT, bits, name)
		}
	}
	if s.switcher, err = rlwe.NewSwitcher(s.request, s.response, s.t); err != nil {
		return fmt.Errorf("request_modulus and response_modulus do not fit plaintext modulus %d (2^log_t + 1): %w", s.t, err)
	}
	s.model = rlwe.NewErrorModel(s.request, s.response, s.t, s.variance, s.logBase)
	return nil
}

// checkShape refuses what would overflow or decode to nonsense.
func (s *Scheme) checkShape() error {
	if s.perLevel > maxBuckets/s.levels {
		return fmt.Errorf("%d levels of %d slots are too many slots per query", s.levels, s.perLevel)
	}
	// A list of as many ciphertexts as slots is taken as it is, not expanded. That
	// happens with one slot only, and then the factor 2^-log_compression_factor stays in.
	if s.perQuery == 1 && s.slotFactor() != 1 {
		return fmt.Errorf("one bucket per shard and one level cannot be asked for with compression factor %d", 1<<s.logCF)
	}
	return nil
}

// slotFactor is 2^-logCF modulo t: an expansion multiplies by 2^logCF.
func (s *Scheme) slotFactor() int64 {
	half := (s.t + 1) / 2
	f := uint64(1)
	for range s.logCF {
		f = f * half % s.t
	}
	return int64(f)
}

// CheckStep compares the parameters with a workflow step that names a number of
// shards and of data buckets per shard. With padding nonces the parameters count one bucket
// more than the step, the nonce's.
func (s *Scheme) CheckStep(shards, bucketsPerShard int32) error {
	var errs []error
	if shards != s.shards {
		errs = append(errs, fmt.Errorf("number_of_shards is %d, the step's shard_count is %d, must be equal", s.shards, shards))
	}
	if s.nonces && s.buckets != bucketsPerShard+1 {
		errs = append(errs, fmt.Errorf("number_of_buckets_per_shard is %d, the step's buckets_per_shard is %d, must be one less (the last bucket is for padding nonces)", s.buckets, bucketsPerShard))
	}
	if !s.nonces && s.buckets != bucketsPerShard {
		errs = append(errs, fmt.Errorf("number_of_buckets_per_shard is %d, the step's buckets_per_shard is %d, must be equal without padding nonces", s.buckets, bucketsPerShard))
	}
	return errors.Join(errs...)
}

// Parameters returns a copy of the parameters.
func (s *Scheme) Parameters() *batchpb.Parameters {
	return proto.Clone(s.params).(*batchpb.Parameters)
}

// Shards is the number of shards.
func (s *Scheme) Shards() int32 { return s.shards }

// BucketsPerShard is the number of buckets per shard, the nonce's included.
func (s *Scheme) BucketsPerShard() int32 { return s.buckets }

// PaddingNonces reports whether each shard's last bucket is for nonces.
func (s *Scheme) PaddingNonces() bool { return s.nonces }

// SlotsPerQuery is the number of encrypted bits that make a query.
func (s *Scheme) SlotsPerQuery() int { return s.perQuery }

// ChunkBytes is the number of bytes that one polynomial holds. The first chunk
// of a bucket also holds its length, 4 bytes.
func (s *Scheme) ChunkBytes() int { return s.chunk }

// Noise returns what was computed about decryption.
func (s *Scheme) Noise() Noise { return s.noise }

// ResultBytes is the length of a finalized result of that many columns, without
// its metadata of up to 24 bytes.
func (s *Scheme) ResultBytes(columns int) int {
	n := s.response.CiphertextLen(s.levels + 1)
	return columns * (1 + varintLen(n) + n)
}

// QueriesBytes is the length of the encrypted polynomials of a list of queries,
// without their metadata of up to 24 bytes each.
func (s *Scheme) QueriesBytes(queries int) int {
	n := s.request.PolynomialLen()
	return s.polynomials(queries) * (1 + varintLen(n) + n)
}

// polynomials is the number of ciphertexts that carry that many queries.
func (s *Scheme) polynomials(queries int) int {
	cf := 1 << s.logCF
	return (queries*s.perQuery + cf - 1) / cf
}
