// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// nonEmptyKeys are the keys that say where data goes and with which credentials, and whether the queue is on disk. An
// environment variable that is empty or not set leaves null there. Elsewhere null stands for the default, but here data
// would silently go to ./warehouse, without a token, or into a queue that a restart may lose. A table property is left
// out of new tables if its value is "", which null would become. An entry that ends in :: is a section and stands for
// all of its keys. Other keys may be empty, such as a session token that only some deployments have: if one is needed,
// the service that needs it refuses requests.
var nonEmptyKeys = []string{
	"catalog::type", "catalog::uri", "catalog::warehouse", "catalog::namespace", "catalog::token",
	"catalog::oauth2::client_id", "catalog::oauth2::client_secret", "catalog::headers::",
	"storage::s3::access_key_id", "storage::s3::secret_access_key", "tables::properties::", "dead_letter::path",
	"sending_queue::storage",
}

// helperKeys are the keys of exporterhelper. The library's own keys are pointers, so null is their default anyway.
var helperKeys = []string{"timeout", "retry_on_failure", "retry_on_failure::", "sending_queue::"}

// dropEmpty removes exporterhelper's keys whose value is null, so that their defaults remain. The Collector reads null
// as the zero value: false for retry_on_failure.enabled, 0 for batch.min_size. What checkNonEmpty refuses stays.
func dropEmpty(conf *confmap.Conf) {
	for _, key := range conf.AllKeys() {
		if matchesAny(key, helperKeys) && !matchesAny(key, nonEmptyKeys) && conf.Get(key) == nil {
			conf.Delete(key)
		}
	}
}

// checkNonEmpty refuses null in nonEmptyKeys.
func checkNonEmpty(conf *confmap.Conf) error {
	var problems []error
	keys := conf.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		if matchesAny(key, nonEmptyKeys) && conf.Get(key) == nil {
			problems = append(problems, fmt.Errorf(
				"%s: is empty; is an environment variable not set? Leave the key out for its default", key))
		}
	}
	return errors.Join(problems...)
}

// matchesAny returns whether key is one of the entries, or in a section that one of them names.
func matchesAny(key string, entries []string) bool {
	return slices.ContainsFunc(entries, func(entry string) bool {
		return key == entry || strings.HasSuffix(entry, "::") && strings.HasPrefix(key, entry)
	})
}

// checkSizes refuses a size that keeps its default, which is in bytes, although another unit is configured. A queue of
// half a billion requests has no practical bound, and a batch of 24 million items always waits for its flush_timeout.
// It also refuses a queue in bytes that holds no batch: most exporters count requests, so the number is one of those.
func (cfg *Config) checkSizes(conf *confmap.Conf) error {
	queue := cfg.QueueConfig.Get()
	if queue == nil {
		return nil
	}
	var problems []error
	check := func(section, key string, sizer exporterhelper.RequestSizerType) {
		if sizer != exporterhelper.RequestSizerTypeBytes && !conf.IsSet(section+"::"+key) {
			problems = append(problems, fmt.Errorf(
				"%s::%s: is needed with %s::sizer: %s, in %[4]s; its default is in bytes",
				section, key, section, sizer.String()))
		}
	}
	check("sending_queue", "queue_size", queue.Sizer)
	batch := queue.Batch.Get()
	if batch == nil {
		return errors.Join(problems...)
	}
	switch batch.Sizer {
	case exporterhelper.RequestSizerTypeItems:
		check("sending_queue::batch", "min_size", batch.Sizer)
	case exporterhelper.RequestSizerTypeRequests:
		// From the queue. A batch allows only items and bytes, and exporterhelper refuses any other unit itself.
		if !conf.IsSet("sending_queue::batch::sizer") {
			problems = append(problems, errors.New("sending_queue::batch::sizer: is needed with "+
				"sending_queue::sizer: requests and a min_size; a batch is measured in bytes or items"))
		}
	case exporterhelper.RequestSizerTypeBytes:
		if conf.IsSet("sending_queue::queue_size") && queue.Sizer == exporterhelper.RequestSizerTypeBytes &&
			queue.QueueSize > 0 && queue.QueueSize < batch.MinSize {
			problems = append(problems, fmt.Errorf("sending_queue::queue_size: is %d bytes, less than one batch "+
				"(min_size, %d); its unit here is bytes. Set sizer: requests to count requests",
				queue.QueueSize, batch.MinSize))
		}
	}
	return errors.Join(problems...)
}

// batching returns how requests are merged into batches. Nil means that they are not.
func (cfg *Config) batching() *exporterhelper.BatchConfig {
	queue := cfg.QueueConfig.Get()
	if queue == nil {
		return nil
	}
	return queue.Batch.Get()
}

// keepBatchBytes measures batches in bytes although the queue counts requests. exporterhelper gives a batch the queue's
// unit when its section has keys, and then refuses that unit. With a min_size only its author knows the unit.
func (cfg *Config) keepBatchBytes(conf *confmap.Conf) {
	batch := cfg.batching()
	if batch == nil {
		return
	}
	isGiven := conf.IsSet("sending_queue::batch::sizer") || conf.IsSet("sending_queue::batch::min_size")
	if batch.Sizer == exporterhelper.RequestSizerTypeRequests && !isGiven {
		batch.Sizer = exporterhelper.RequestSizerTypeBytes
	}
}

// minDuration is the shortest duration that is plausible. The Collector reads a number without a unit as nanoseconds,
// so timeout: 60 would end every attempt before it begins.
const minDuration = time.Millisecond

// validateDurations refuses durations that lack their unit.
func (cfg *Config) validateDurations() error {
	var problems []error
	check := func(key string, value time.Duration) {
		if value > 0 && value < minDuration {
			problems = append(problems, fmt.Errorf(
				"%s: is %s, which nothing can be done in; write a unit, such as 60s", key, value))
		}
	}
	check("timeout", cfg.TimeoutConfig.Timeout)
	check("retry_on_failure::initial_interval", cfg.RetryConfig.InitialInterval)
	check("retry_on_failure::max_interval", cfg.RetryConfig.MaxInterval)
	check("retry_on_failure::max_elapsed_time", cfg.RetryConfig.MaxElapsedTime)
	if batch := cfg.batching(); batch != nil {
		check("sending_queue::batch::flush_timeout", batch.FlushTimeout)
	}
	return errors.Join(problems...)
}

// validateQueue refuses settings that exporterhelper allows and this exporter does not support.
func (cfg *Config) validateQueue() error {
	var problems []error
	if cfg.TimeoutConfig.Timeout == 0 {
		problems = append(problems, errors.New(
			"timeout: must be above 0, or a catalog that hangs would hold a batch for ever"))
	}
	queue := cfg.QueueConfig.Get()
	if queue == nil {
		return errors.Join(problems...)
	}
	if queue.StorageID != nil && !cfg.RetryConfig.Enabled {
		problems = append(problems, errors.New(
			"sending_queue::storage: needs retry_on_failure::enabled: true; "+
				"without retries one failure, or a shutdown at the wrong moment, deletes what was stored"))
	}
	batch := queue.Batch.Get()
	if batch == nil {
		return errors.Join(problems...)
	}
	if batch.MaxSize != 0 {
		problems = append(problems, errors.New(
			"sending_queue::batch::max_size: must be 0; a request is never split, because its id must stay with "+
				"all its rows, and the library cuts files by parquet.target_file_size_bytes"))
	}
	if len(batch.Partition.MetadataKeys) > 0 {
		problems = append(problems, errors.New(
			"sending_queue::batch::partition::metadata_keys: is not supported; tables are partitioned by "+
				"tables.partition_by, and client metadata gets a column by way of resource attributes"))
	}
	return errors.Join(problems...)
}
