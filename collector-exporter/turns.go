// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"fmt"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// directCallsMax bounds the calls of the library that one signal makes at a time without a queue, where each request of a
// client is one. A call holds a thread of the process until it ends, up to timeout; Go ends a process that has 10,000 of them,
// which clients would reach while a catalog hangs. Calls that wait for their commit go out together, so this is also how many requests of a
// signal one snapshot can hold.
const directCallsMax = 1000

// turns are what calls wait for. Nil, with a queue, is no bound: there its consumers are one.
type turns chan struct{}

// newTurns gives those of a configuration.
func newTurns(cfg *Config) turns {
	if cfg.QueueConfig.HasValue() {
		return nil
	}
	return make(turns, directCallsMax)
}

// take waits for a turn until ctx ends. It must be given back.
func (t turns) take(ctx context.Context) error {
	if t == nil {
		return nil
	}
	// Alone, since select takes any of two that are ready.
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &native.Error{Code: native.CodeCancelled, RetryClass: native.RetryClassRetry, Message: fmt.Sprintf(
			"%d requests were being stored already until this one's time ran out; a sending_queue stores many requests in one call",
			cap(t))}
	}
}

// giveBack ends a turn.
func (t turns) giveBack() {
	if t != nil {
		<-t
	}
}
