// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// message says where times are in a protobuf message: its own fixed64 fields, and messages within by field number.
type message struct {
	times  []protowire.Number
	within map[protowire.Number]*message
	// record says that each of these messages is a record: a log record, span or data point.
	record bool
}

// The field numbers are those of opentelemetry-proto 1.x: logs.proto, trace.proto, metrics.proto.
var (
	event     = &message{times: []protowire.Number{1}}
	logRecord = &message{times: []protowire.Number{1, 11}, record: true}
	span      = &message{times: []protowire.Number{7, 8}, within: map[protowire.Number]*message{11: event}, record: true}
	point     = &message{times: []protowire.Number{2, 3}, record: true}
	points    = &message{within: map[protowire.Number]*message{1: point}}
	metric    = &message{within: map[protowire.Number]*message{5: points, 7: points, 9: points}}

	requests = map[signal]*message{
		signalLogs:    inScopes(logRecord),
		signalTraces:  inScopes(span),
		signalMetrics: inScopes(metric),
	}
)

// inScopes is Export*ServiceRequest: resources (1), scopes (2) and in them what is given (2).
func inScopes(inner *message) *message {
	scope := &message{within: map[protowire.Number]*message{2: inner}}
	resource := &message{within: map[protowire.Number]*message{2: scope}}
	return &message{within: map[protowire.Number]*message{1: resource}}
}

// timeOffsets finds the times of a request.
func timeOffsets(request []byte, s signal) ([]int, error) {
	var offsets []int
	err := requests[s].walk(request, 0, func(offset int) { offsets = append(offsets, offset) }, func() {})
	return offsets, err
}

// countRecords counts the records of a request.
func countRecords(request []byte, s signal) (int, error) {
	count := 0
	err := requests[s].walk(request, 0, func(int) {}, func() { count++ })
	return count, err
}

func (m *message) walk(data []byte, base int, onTime func(offset int), onRecord func()) error {
	if m.record {
		onRecord()
	}
	for at := 0; at < len(data); {
		number, kind, tag := protowire.ConsumeTag(data[at:])
		if tag < 0 {
			return fmt.Errorf("no protobuf at byte %d: %w", base+at, protowire.ParseError(tag))
		}
		at += tag
		length := protowire.ConsumeFieldValue(number, kind, data[at:])
		if length < 0 {
			return fmt.Errorf("no protobuf at byte %d: %w", base+at, protowire.ParseError(length))
		}
		if inner := m.within[number]; inner != nil && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data[at:])
			begin := at + length - len(value)
			if err := inner.walk(value, base+begin, onTime, onRecord); err != nil {
				return err
			}
		}
		if kind == protowire.Fixed64Type {
			for _, time := range m.times {
				if time == number {
					onTime(base + at)
				}
			}
		}
		at += length
	}
	return nil
}
