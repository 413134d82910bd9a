// Package bounds limits how much of the operator's memory one object can take, whatever its author
// writes into it: the cache has the objects of all namespaces, and the API server accepts objects
// of more than a MiB.
package bounds

import (
	"reflect"
	"time"
)

// Object is how much memory an object in a cache may take, in bytes. Larger objects are trimmed. A
// large action template, or its pod, takes a tenth of that.
const Object = 256 << 10

// Memory returns the bytes of memory that a value takes, including everything that it points to.
// Values that are referenced twice count twice. It does not support cyclic values, which Kubernetes
// objects never are.
func Memory(value any) int {
	of := reflect.ValueOf(value)
	if !of.IsValid() {
		return 0
	}
	return int(of.Type().Size()) + beyond(of)
}

// mapEntry is about how many bytes a map takes per entry in addition to key and value.
const mapEntry = 16

// beyond returns the memory that a value refers to, in addition to its own size. All times share
// their location, which the first use of a local time fills in.
func beyond(value reflect.Value) (size int) {
	if value.Type() == reflect.TypeFor[time.Time]() {
		return 0
	}
	switch value.Kind() {
	case reflect.String:
		return value.Len()
	case reflect.Pointer, reflect.Interface:
		if value.IsNil() {
			return 0
		}
		return int(value.Elem().Type().Size()) + beyond(value.Elem())
	case reflect.Struct:
		for i := range value.NumField() {
			size += beyond(value.Field(i))
		}
	case reflect.Slice:
		return value.Cap()*int(value.Type().Elem().Size()) + elements(value)
	case reflect.Array:
		return elements(value)
	case reflect.Map:
		entry := int(value.Type().Key().Size()+value.Type().Elem().Size()) + mapEntry
		size = value.Len() * entry
		for entries := value.MapRange(); entries.Next(); {
			size += beyond(entries.Key()) + beyond(entries.Value())
		}
	}
	return size
}

// elements returns the memory that the elements of a list refer to, in addition to their own sizes.
func elements(list reflect.Value) (size int) {
	switch list.Type().Elem().Kind() {
	case reflect.Bool, reflect.Int8, reflect.Uint8, reflect.Int32, reflect.Int64, reflect.Float64:
		return 0
	}
	for i := range list.Len() {
		size += beyond(list.Index(i))
	}
	return size
}
