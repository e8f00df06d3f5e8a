// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"runtime"
	"sync"
	"time"
	"weak"
)

// mergedContext is the context of a merged batch whose clients wait for the result. It ends when the last client's
// context ends. Without it a batch would be retried forever although all of its clients had given up. They send their
// data again, and each time that would store another copy.
//
// A single client that still waits keeps the batch alive. The data of the other clients is then stored although they
// were told that it was not.
//
// The context of some clients, such as receivers in this Collector, never ends. The callback that is registered with a
// client's context therefore refers to the mergedContext weakly, and is removed with it.
type mergedContext struct {
	start sync.Once
	ended chan struct{}

	mu      sync.Mutex
	clients []context.Context
	// watched says whether the clients' contexts are being watched. No client can be added then.
	watched bool
	// waiting counts the clients whose context has not ended.
	waiting int
	// err is the error of the context that ended last.
	err error
}

// mergedKey is the key under which a context derived from a mergedContext finds it.
type mergedKey struct{}

// mergeContexts merges a client's context into that of a batch.
func mergeContexts(batch, client context.Context) context.Context {
	// The batch ends with its last client, however long that one has to wait for its turn to leave the queue.
	client = clientOf(client)
	if merged, ok := batch.Value(mergedKey{}).(*mergedContext); ok && merged.add(client) {
		return merged
	}
	return &mergedContext{
		ended:   make(chan struct{}),
		clients: []context.Context{clientOf(batch), client},
		waiting: 2,
	}
}

// add adds a client. It returns false if the clients are already being watched.
func (m *mergedContext) add(client context.Context) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watched {
		return false
	}
	m.clients = append(m.clients, client)
	m.waiting++
	return true
}

// Value returns the context itself to mergeContexts. It has no other values, since those of one client do not hold for
// the batch.
func (m *mergedContext) Value(key any) any {
	if key == (mergedKey{}) {
		return m
	}
	return nil
}

// Deadline returns the latest deadline of the clients, or none if one client has none.
func (m *mergedContext) Deadline() (latest time.Time, bounded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, client := range m.clients {
		deadline, bounded := client.Deadline()
		if !bounded {
			return time.Time{}, false
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return latest, !latest.IsZero()
}

// Done returns a channel that is closed when no client waits any more.
func (m *mergedContext) Done() <-chan struct{} {
	m.start.Do(m.watch)
	return m.ended
}

// Err returns the error of the client's context that ended last, and nil while a client waits.
func (m *mergedContext) Err() error {
	select {
	case <-m.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.err
	default:
		return nil
	}
}

// watch begins to watch the clients' contexts.
func (m *mergedContext) watch() {
	m.mu.Lock()
	m.watched = true
	clients := m.clients
	m.mu.Unlock()
	batch := weak.Make(m)
	var watches []func() bool
	for _, client := range clients {
		watches = append(watches, context.AfterFunc(client, func() {
			if m := batch.Value(); m != nil {
				m.clientEnded(client.Err())
			}
		}))
	}
	runtime.AddCleanup(m, func(watches []func() bool) {
		for _, stop := range watches {
			stop()
		}
	}, watches)
}

// clientEnded notes that a client's context has ended.
func (m *mergedContext) clientEnded(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting--
	if m.waiting == 0 {
		m.err = err
		close(m.ended)
	}
}

// contextMerger returns mergeContexts if clients wait for the result. Otherwise it returns nil, because the contexts
// of a queue never end.
func (cfg *Config) contextMerger() func(first, second context.Context) context.Context {
	if queue := cfg.QueueConfig.Get(); queue != nil && queue.WaitForResult {
		return mergeContexts
	}
	return nil
}
