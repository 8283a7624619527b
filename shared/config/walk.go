package config

import (
	"encoding"
	"log/slog"
	"net/netip"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// walk calls visit for every value of a configuration with its key, in the order of declaration;
// maps by name. Lists of tables are visited element by element ("endpoints.0.url").
func walk(v reflect.Value, key string, visit func(key string, v reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), key, visit)
		}
	case isLeaf(v):
		visit(key, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if f.Anonymous && name == "" {
				walk(v.Field(i), key, visit)
			} else if name != "" && name != "-" {
				walk(v.Field(i), join(key, name), visit)
			}
		}
	case v.Kind() == reflect.Map:
		for _, k := range sortedKeys(v) {
			elem := reflect.New(v.Type().Elem()).Elem() // elements of a map cannot be set in place
			elem.Set(v.MapIndex(k))
			walk(elem, join(key, k.String()), visit)
			v.SetMapIndex(k, elem)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), join(key, strconv.Itoa(i)), visit)
		}
	}
}

// isLeaf says whether a value is set as a whole: scalars, lists of scalars, types that read text,
// free-form values.
func isLeaf(v reflect.Value) bool {
	if readsText(v.Type()) {
		return true
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		return false
	case reflect.Slice:
		switch e := v.Type().Elem(); e.Kind() {
		case reflect.Struct, reflect.Map, reflect.Pointer:
			return readsText(e)
		}
	}
	return true
}

func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	return keys
}

func keysOf(m map[string]reflect.Value) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// wanted says what a text of a type must be.
func wanted(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return `a time span with a unit, such as "15m"`
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	case reflect.TypeFor[netip.Prefix]():
		return "a network such as 10.0.0.0/8"
	}
	return "a " + strings.ToLower(t.Name())
}

// setText sets a leaf from a flag or a variable.
func setText(v reflect.Value, text string) error {
	if readsText(v.Type()) {
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return errWanted(wanted(v.Type()))
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errWanted("true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return errWanted("a whole number")
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return errWanted("a whole number, not negative")
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return errWanted("a number")
		}
		v.SetFloat(n)
	case reflect.Slice:
		var parts []string
		if text != "" {
			parts = strings.Split(text, ",")
		}
		list := reflect.MakeSlice(v.Type(), len(parts), len(parts))
		for i, part := range parts {
			if err := setText(list.Index(i), strings.TrimSpace(part)); err != nil {
				return err
			}
		}
		v.Set(list)
	default:
		return errWanted("set in the file: it has no text form")
	}
	return nil
}
