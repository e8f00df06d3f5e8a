// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// textProperties turns numbers and booleans under tables.properties into text, as all properties of Iceberg are. What
// comes from an environment variable has its text already.
func textProperties(conf *confmap.Conf) error {
	section, err := conf.Sub("tables::properties")
	if err != nil {
		// The decoder reports it, too, with the others.
		return nil
	}
	texts := map[string]string{}
	if section.Unmarshal(&texts) == nil {
		return nil
	}
	// The decoder left out of texts what is no text.
	properties := section.ToStringMap()
	for key, value := range properties {
		switch text, isText := texts[key]; {
		case value == nil:
		case isText:
			properties[key] = text
		default:
			properties[key] = textOfScalar(value)
		}
	}
	return conf.Merge(confmap.NewFromStringMap(map[string]any{"tables": map[string]any{"properties": properties}}))
}

// textOfScalar writes a number or a boolean as text. It returns other values unchanged.
func textOfScalar(value any) any {
	switch value := value.(type) {
	case bool, int, int64, uint64:
		return fmt.Sprint(value)
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return value
	}
}

// durationKeys are the last parts of the library's keys that are durations.
var durationKeys = []string{"timeout", "interval", "dedup_window", "receipts_interval"}

// explainTypes adds to an error of the decoder what each key wants whose value has the wrong type. The decoder names
// Go's types only.
func explainTypes(err error) error {
	if err == nil {
		return nil
	}
	problems := []error{err}
	for _, key := range wrongKeys(reflect.TypeFor[Config](), "", err.Error()) {
		problems = append(problems, errors.New(key))
	}
	return errors.Join(problems...)
}

// wrongKeys returns the keys of a section that the decoder's error names, each with what it wants.
func wrongKeys(section reflect.Type, prefix, decoderError string) []string {
	var found []string
	for i := range section.NumField() {
		field := section.Field(i)
		if field.Tag.Get("json") == "-" {
			continue
		}
		key := prefix + field.Tag.Get("mapstructure")
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		isNamed := strings.Contains(decoderError, "'"+key+"' expected type ")
		switch {
		case kind.Kind() == reflect.Struct:
			found = append(found, wrongKeys(kind, key+".", decoderError)...)
		case kind.Kind() == reflect.Map && strings.Contains(decoderError, "'"+key+"["):
			found = append(found, key+": write each value in quotes")
		case isNamed && wantOf(key, kind.Kind()) != "":
			found = append(found, key+": write "+wantOf(key, kind.Kind()))
		}
	}
	return found
}

// wantOf says what the value of a key is.
func wantOf(key string, kind reflect.Kind) string {
	last := key[strings.LastIndex(key, ".")+1:]
	switch {
	case kind == reflect.Bool:
		return "true or false"
	case kind == reflect.String && slices.Contains(durationKeys, last):
		return "a duration with a unit, such as 10s"
	case kind == reflect.String:
		return "a text; one that looks like a number or a boolean needs quotes"
	case strings.Contains(last, "bytes"):
		return "a number of bytes without a unit, such as 536870912"
	case kind == reflect.Int || kind == reflect.Int64:
		return "a whole number"
	default:
		return ""
	}
}
