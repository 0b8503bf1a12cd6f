package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/encoding/jsonschema"
)

// JSON returns the schema of a manifest as a JSON Schema (draft 2020-12), for
// editors: it completes names, shows the reference documentation, and refuses
// most mistakes. Rules across settings can't be said in it; `panelmatch vet`
// knows them. The result is the same for every call.
func JSON() ([]byte, error) {
	instances := load.Instances([]string{"."}, &load.Config{FS: files, Dir: "/", ModuleRoot: "/"})
	if len(instances) != 1 {
		return nil, fmt.Errorf("found %d packages in the schema, want one", len(instances))
	}
	ctx := cuecontext.New()
	v := ctx.BuildInstance(instances[0])
	if err := v.Err(); err != nil {
		return nil, fmt.Errorf("compile the schema: %w", err)
	}
	deployment := v.LookupPath(cue.ParsePath("#Deployment"))
	doc, defs, err := generate(deployment)
	if err != nil {
		return nil, err
	}
	// The generator drops maps that are keyed by a definition.
	exchange, more, err := generate(v.LookupPath(cue.ParsePath("#Exchange")))
	if err != nil {
		return nil, err
	}
	maps.Copy(defs, more)
	defs["Exchange"] = exchange
	if properties, ok := doc["properties"].(map[string]any); ok {
		if exchanges, ok := properties["exchanges"].(map[string]any); ok {
			exchanges["additionalProperties"] = map[string]any{"$ref": "#/$defs/Exchange"}
			exchanges["propertyNames"] = map[string]any{"$ref": "#/$defs/ExchangeID"}
		}
	}
	doc["title"] = "panelmatch/v1"
	if err := enrich(doc, deployment); err != nil {
		return nil, err
	}
	for name, def := range defs {
		d, ok := def.(map[string]any)
		if !ok {
			continue
		}
		if err := enrich(d, v.LookupPath(cue.MakePath(cue.Def(name)))); err != nil {
			return nil, err
		}
	}
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["$defs"] = defs
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(plain(doc)); err != nil {
		return nil, fmt.Errorf("encode the JSON Schema: %w", err)
	}
	return out.Bytes(), nil
}

// generate makes a JSON Schema of v: what is about v itself, and the definitions that it refers to.
func generate(v cue.Value) (doc, defs map[string]any, err error) {
	expr, err := jsonschema.Generate(v, &jsonschema.GenerateConfig{})
	if err != nil {
		return nil, nil, fmt.Errorf("make a JSON Schema of %s: %w", v.Path(), err)
	}
	raw, err := cuecontext.New().BuildExpr(expr).MarshalJSON()
	if err != nil {
		return nil, nil, fmt.Errorf("encode the JSON Schema of %s: %w", v.Path(), err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, nil, fmt.Errorf("read the JSON Schema of %s back: %w", v.Path(), err)
	}
	defs, _ = doc["$defs"].(map[string]any)
	delete(doc, "$defs")
	delete(doc, "$schema")
	return doc, defs, nil
}

// enrich adds what the generator leaves out: defaults, and that exactly one of
// some settings is needed.
func enrich(doc map[string]any, v cue.Value) error {
	if v.IncompleteKind() != cue.StructKind {
		return nil
	}
	for _, a := range v.Attributes(cue.DeclAttr) {
		if a.Name() != "oneOf" {
			continue
		}
		var choices []any
		for i := range a.NumArgs() {
			name, err := a.String(i)
			if err != nil {
				return fmt.Errorf("read @oneOf of the schema: %w", err)
			}
			choices = append(choices, map[string]any{"required": []any{name}})
		}
		doc["oneOf"] = choices
	}
	it, err := v.Fields(cue.Optional(true))
	if err != nil {
		return fmt.Errorf("list a definition's settings: %w", err)
	}
	properties, _ := doc["properties"].(map[string]any)
	for it.Next() {
		p, ok := properties[it.Selector().Unquoted()].(map[string]any)
		d, has := it.Value().Default()
		if !ok || !has || d.IncompleteKind()&(cue.StructKind|cue.ListKind) != 0 || it.Selector().ConstraintType() != 0 {
			continue
		}
		text, err := d.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encode the default of %s: %w", it.Selector(), err)
		}
		p["default"] = json.RawMessage(text)
	}
	return nil
}

// plain removes what stands for error() in a disjunction, and simplifies what is left.
func plain(x any) any {
	switch x := x.(type) {
	case []any:
		for i := range x {
			x[i] = plain(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = plain(x[k])
		}
		if choices, ok := x["anyOf"].([]any); ok {
			simplify(x, choices)
		}
	}
	return x
}

func simplify(x map[string]any, choices []any) {
	var kept, constants []any
	for _, c := range choices {
		if c == false {
			continue
		}
		kept = append(kept, c)
		if m, ok := c.(map[string]any); ok && len(m) == 1 {
			if value, ok := m["const"]; ok {
				constants = append(constants, value)
			}
		}
	}
	switch {
	case len(kept) > 0 && len(constants) == len(kept):
		delete(x, "anyOf")
		x["enum"] = constants
	case len(kept) == 1:
		only, ok := kept[0].(map[string]any)
		for k := range only {
			_, taken := x[k]
			ok = ok && !taken
		}
		if !ok {
			x["anyOf"] = kept
			return
		}
		delete(x, "anyOf")
		for k, value := range only {
			x[k] = value
		}
	default:
		x["anyOf"] = kept
	}
}
