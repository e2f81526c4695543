package tasks

import (
	"reflect"
	"strconv"
	"strings"
)

// sourceUpload is the source type of a task whose source is an upload.
const sourceUpload = "local_upload"

// applyDefaults fills what the tags say into fields that hold nothing.
func applyDefaults(into reflect.Value, kind Kind) {
	for i := range into.NumField() {
		field, rule := into.Field(i), ruleOf(into.Type().Field(i))
		if !rule.concerns(kind) {
			continue
		}
		if field.Kind() == reflect.Struct {
			applyDefaults(field, kind)
		}
		if rule.byDefault != "" && isEmpty(field) {
			setDefault(field, rule.byDefault)
		}
	}
}

func setDefault(field reflect.Value, text string) {
	switch target := field.Addr().Interface().(type) {
	case *string:
		*target = text
	case **Int:
		number, _ := strconv.ParseInt(text, 10, 64)
		value := Int(number)
		*target = &value
	}
}

// normalise fills the defaults of a deployment that depend on other fields.
func (d *Deploy) normalise(kind Kind) {
	applyDefaults(reflect.ValueOf(d).Elem(), kind)
	d.Build.RootDirectory = strings.TrimLeft(d.Build.RootDirectory, "/")
	if !kind.FromRepository() {
		d.Build.Builder = BuilderNoop
		return
	}
	if d.ImageName == "" {
		d.ImageName = d.JobID
	}
	if d.SourceType == "" && d.SourceURL != "" && d.Repository == "" {
		d.SourceType = sourceUpload
	}
}
