// SPDX-License-Identifier: Apache-2.0

//go:generate tools/generate.sh

// Package icebergexporter writes logs, traces and metrics to Apache Iceberg tables.
//
// The otlp2iceberg library, which is linked in, does all work on the data. This package serializes the pipeline's data
// once, to OTLP protobuf, and then merges, queues and retries bytes. Package internal/native contains all cgo.
package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"
