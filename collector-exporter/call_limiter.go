// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"fmt"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// directCallsMax limits the library calls that one signal makes at a time without a queue, where each client request
// is a call of its own. A call holds a thread of the process until it ends, up to timeout. Go ends a process that has
// 10,000 threads, and clients would reach that while a catalog hangs. Calls that wait for their commit are committed
// together, so this is also how many requests of a signal one snapshot can hold.
const directCallsMax = 1000

// callLimiter limits the library calls at a time. It is nil, without a limit, where there is a queue: the queue's
// consumers are the limit then.
type callLimiter chan struct{}

func newCallLimiter(cfg *Config) callLimiter {
	if cfg.QueueConfig.HasValue() {
		return nil
	}
	return make(callLimiter, directCallsMax)
}

// acquire waits for a free slot until ctx ends. The caller must release the slot.
func (l callLimiter) acquire(ctx context.Context) error {
	if l == nil {
		return nil
	}
	// A free slot is tried by itself first, because select chooses at random when ctx has ended, too.
	select {
	case l <- struct{}{}:
		return nil
	default:
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &native.Error{Code: native.CodeCancelled, RetryClass: native.RetryClassRetry, Message: fmt.Sprintf(
			"%d requests were being stored already until this one's time ran out; "+
				"a sending_queue stores many requests in one call", cap(l))}
	}
}

// release frees a slot.
func (l callLimiter) release() {
	if l != nil {
		<-l
	}
}
