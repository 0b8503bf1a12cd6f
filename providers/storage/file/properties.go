package file

// properties is what a caller may say of a blob beyond its bytes. The engine
// says nothing: its blobs have the default.
type properties struct {
	ContentType        string            `json:"contentType"`
	CacheControl       string            `json:"cacheControl,omitempty"`
	ContentDisposition string            `json:"contentDisposition,omitempty"`
	ContentEncoding    string            `json:"contentEncoding,omitempty"`
	ContentLanguage    string            `json:"contentLanguage,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
}

const defaultContentType = "application/octet-stream"

func defaultProperties() properties { return properties{ContentType: defaultContentType} }

func (p properties) isDefault() bool {
	return (p.ContentType == defaultContentType || p.ContentType == "") && p.CacheControl == "" && p.ContentDisposition == "" &&
		p.ContentEncoding == "" && p.ContentLanguage == "" && len(p.Metadata) == 0
}
