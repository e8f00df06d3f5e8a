// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// warnCommitInterval warns about a commit.interval that the library cuts short. The library keeps half of the
// remaining time of a commit's first batch for the commit itself.
func (e *signalExporter) warnCommitInterval() {
	interval, err := time.ParseDuration(settingOr(e.cfg.Commit.Interval, "0s"))
	timeout := e.cfg.TimeoutConfig.Timeout
	if err != nil || interval <= timeout/2 {
		return
	}
	e.logger.Warn("commit.interval is more than half of timeout, and commits come as soon as half of timeout is over; "+
		"set timeout to at least twice commit.interval.",
		zap.Duration("commit.interval", interval), zap.Duration("timeout", timeout))
}

// usualClientTimeout is how long most clients wait for an answer. It is the default of OpenTelemetry's SDKs.
const usualClientTimeout = 10 * time.Second

// warnWaitForResult warns about clients that would give up before their batch is flushed and committed. They send the
// data again as a new request, whose rows are then stored twice. Clients that send one request after the other store
// only one in each flush_timeout.
func (e *signalExporter) warnWaitForResult() {
	queue, batch := e.cfg.QueueConfig.Get(), e.cfg.batching()
	if batch == nil || !queue.WaitForResult || batch.FlushTimeout < usualClientTimeout/2 {
		return
	}
	e.logger.Warn("With sending_queue.wait_for_result clients wait for flush_timeout and the commit. "+
		"Those that give up before, as OpenTelemetry's SDKs do after 10s, send again, and rows are stored twice; "+
		"set sending_queue.batch.flush_timeout to 1s, or raise the clients' timeout. A sender that waits for each answer, "+
		"such as file_log, kafka and batch processors, stores only one request in each flush_timeout; "+
		"use a queue on disk for it (sending_queue.storage).",
		zap.Duration("sending_queue.batch.flush_timeout", batch.FlushTimeout))
}

// resourceNames begin the names of attributes that describe where data comes from.
var resourceNames = []string{"k8s.", "host.", "cloud.", "container.", "process.", "deployment."}

// warnResourceAttributes warns about columns that are probably null in every row: without from, an attribute is looked
// for in the record. Events of Kubernetes have theirs there.
func (e *signalExporter) warnResourceAttributes() {
	for _, column := range e.cfg.Tables.AttributeColumns {
		name, _ := column.(string)
		if entry, ok := column.(map[string]any); ok && entry["from"] == nil {
			name, _ = entry["attribute"].(string)
		}
		isOfResource := slices.ContainsFunc(resourceNames, func(prefix string) bool {
			return strings.HasPrefix(name, prefix)
		})
		if isOfResource && !strings.HasPrefix(name, "k8s.event.") {
			e.logger.Warn("tables.attribute_columns: " + name + " is usually an attribute of the resource; " +
				"set from: resource (or from: record, if it is one of the records).")
		}
	}
}
