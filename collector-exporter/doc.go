// SPDX-License-Identifier: Apache-2.0

//go:generate tools/generate.sh

// Package icebergexporter writes logs, traces and metrics to Apache Iceberg tables.
//
// All work on the data is done by the otlp2iceberg library, which is linked in: this package
// serializes what the pipeline hands over once, to OTLP protobuf, and from there on merges, queues
// and retries bytes. Package internal/native holds every line of cgo.
package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"
