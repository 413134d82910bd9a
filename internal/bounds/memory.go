// Package bounds keeps what one object can take of the operator's memory within bounds,
// whatever its author writes into it: the operator's cache has the objects of all
// namespaces, and the API server takes more than a MiB of each.
package bounds

import "reflect"

// Object is, in bytes, the most that one object of a cache may take of memory: what is over
// it is cut. A large action template, or the pod of one, takes a tenth of that.
const Object = 256 << 10

// Memory returns how many bytes a value takes of memory, with all that it points to. What is
// pointed to twice counts twice. Values with loops are not for it; objects of Kubernetes have
// none.
func Memory(value any) int {
	of := reflect.ValueOf(value)
	if !of.IsValid() {
		return 0
	}
	return int(of.Type().Size()) + beyond(of)
}

// mapEntry is, in bytes and about, what a map takes for an entry besides its key and value.
const mapEntry = 16

// beyond is what a value takes besides its own size.
func beyond(value reflect.Value) (size int) {
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

// elements is what the elements of a list take besides their own sizes.
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
