// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/confmap"
)

// neverEmpty are the keys that say where data goes and with whose right. An environment variable that is not set, or
// empty, leaves null there, and null is taken for the default elsewhere: data would go to ./warehouse, or without a token,
// and nobody would be told. What ends in :: is a section, each key of which is meant. Other keys may be left empty, such as a session token
// that only some deployments have: what lacks one is refused by whoever it is meant for.
var neverEmpty = []string{
	"catalog::type", "catalog::uri", "catalog::warehouse", "catalog::namespace", "catalog::token",
	"catalog::oauth2::client_id", "catalog::oauth2::client_secret", "catalog::headers::", "storage::s3::access_key_id", "storage::s3::secret_access_key", "dead_letter::path",
}

// refuseEmpty refuses null in the keys of neverEmpty.
func refuseEmpty(conf *confmap.Conf) error {
	var problems []error
	keys := conf.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		if !slices.ContainsFunc(neverEmpty, func(known string) bool { return isKey(key, known) }) {
			continue
		}
		if conf.Get(key) == nil {
			problems = append(problems, fmt.Errorf("%s: is empty; is an environment variable not set? Leave the key out for its default", key))
		}
	}
	return errors.Join(problems...)
}

// isKey says whether key is known, or in the section known.
func isKey(key, known string) bool {
	if section, isSection := strings.CutSuffix(known, "::"); isSection {
		return strings.HasPrefix(key, section+"::")
	}
	return key == known
}

// shortestTime is the shortest time that can be meant. A number without a unit is nanoseconds to the Collector, so that
// timeout: 60 would end every attempt before it has begun.
const shortestTime = time.Millisecond

// validateTimes refuses times that lack their unit.
func (cfg *Config) validateTimes() error {
	var problems []error
	check := func(key string, value time.Duration) {
		if value > 0 && value < shortestTime {
			problems = append(problems, fmt.Errorf("%s: is %s, which nothing can be done in; write a unit, such as 60s", key, value))
		}
	}
	check("timeout", cfg.TimeoutConfig.Timeout)
	check("retry_on_failure::initial_interval", cfg.RetryConfig.InitialInterval)
	check("retry_on_failure::max_interval", cfg.RetryConfig.MaxInterval)
	check("retry_on_failure::max_elapsed_time", cfg.RetryConfig.MaxElapsedTime)
	if cfg.QueueConfig.HasValue() && cfg.QueueConfig.Get().Batch.HasValue() {
		check("sending_queue::batch::flush_timeout", cfg.QueueConfig.Get().Batch.Get().FlushTimeout)
	}
	return errors.Join(problems...)
}
