package tasks

import "reflect"

// Sight says what of a field's value a person may see.
type Sight int

const (
	// SightOpen says that the value is no secret by itself.
	SightOpen Sight = iota
	// SightHidden says that the value may hold a secret: an address, an argument, a file.
	SightHidden
	// SightSecret says that the value is a secret.
	SightSecret
)

// FieldSights lists the name of every field that a task's params may have, at
// whatever depth, with what may be seen of its value. Where two fields of one
// name differ, the stricter counts.
func FieldSights() map[string]Sight {
	sights := map[string]Sight{}
	for _, t := range []reflect.Type{reflect.TypeFor[Deploy](), reflect.TypeFor[Destroy]()} {
		addSights(sights, t)
	}
	return sights
}

func addSights(sights map[string]Sight, t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, sight := field.Tag.Get("json"), SightOpen
		switch {
		case field.Type == reflect.TypeFor[Secret]():
			sight = SightSecret
		case ruleOf(field).hidden:
			sight = SightHidden
		}
		sights[name] = max(sights[name], sight)
		if below := structBelow(field.Type); below != nil {
			addSights(sights, below)
		}
	}
}

// structBelow returns the struct that a field, or a list of them, holds; nil
// where that is a value of its own.
func structBelow(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Text]() {
		return nil
	}
	return t
}

// ParamsObject returns the params of a task's body as an object, whichever of
// the three forms they came in; false where none can be read.
func ParamsObject(params []byte) ([]byte, bool) {
	d := newDecoder()
	object := d.params(params)
	return object, object != nil
}
