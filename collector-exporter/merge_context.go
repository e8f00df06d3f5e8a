// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"time"
)

// mergeContexts gives the context of a merged batch whose clients wait for the result: it ends when both have ended, and at
// the later of their deadlines if both have one. Without it a batch would be tried for ever, though all of its clients
// had given up and sent their data again, which makes a copy of it each time.
//
// One client that still waits keeps the batch alive. What the others sent is then stored although they were told that it
// was not.
func mergeContexts(first, second context.Context) context.Context {
	var (
		merged context.Context
		end    context.CancelFunc
	)
	if deadline, bounded := laterDeadline(first, second); bounded {
		merged, end = context.WithDeadline(context.Background(), deadline)
	} else {
		merged, end = context.WithCancel(context.Background())
	}
	context.AfterFunc(first, func() { context.AfterFunc(second, end) })
	return merged
}

// laterDeadline gives none when one of them has none.
func laterDeadline(first, second context.Context) (later time.Time, bounded bool) {
	one, oneBounded := first.Deadline()
	other, otherBounded := second.Deadline()
	if !oneBounded || !otherBounded {
		return time.Time{}, false
	}
	if one.Before(other) {
		one = other
	}
	return one, true
}

// mergeClients gives the way to merge contexts where clients wait for the result, else none: the contexts of a queue never
// end then.
func (cfg *Config) mergeClients() func(first, second context.Context) context.Context {
	if cfg.QueueConfig.HasValue() && cfg.QueueConfig.Get().WaitForResult {
		return mergeContexts
	}
	return nil
}
