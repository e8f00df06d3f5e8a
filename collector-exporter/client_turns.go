// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"sync"
	"time"
)

// clientTurns ends the contexts of clients one after the other while their requests wait for room in a full queue.
//
// exporterhelper's queue hangs for good when the contexts of two waiting clients have ended and room is announced twice
// before they have left: the second announcement waits, with the queue's lock, for one of them to take the first, and
// they wait for the lock (https://github.com/open-telemetry/opentelemetry-collector/issues/15700). This happens at the
// end of an outage, when a batch of many requests makes room for many clients whose time runs out, and with
// wait_for_result whenever a batch ends because its last client has gone. A single client that leaves cannot hold an
// announcement up.
//
// With wait_for_result the queue hands the delayed context on to the attempt, which must end with its clients.
// mergeContexts and export therefore look at the clients' own contexts (clientOf).
//
// A queue on disk that freezes (see layoutGuard) makes no more room. Its clients leave in the same way.
type clientTurns struct {
	// leaving is held while a client's context has ended and its call has not returned.
	leaving sync.Mutex
	// guard is that of a queue on disk. It is nil for a queue in memory.
	guard *layoutGuard
}

// newClientTurns returns nil where no client waits for room.
func newClientTurns(cfg *Config, guard *layoutGuard) *clientTurns {
	queue := cfg.QueueConfig.Get()
	switch {
	case queue == nil || !queue.BlockOnOverflow:
		return nil
	case queue.StorageID == nil:
		return &clientTurns{}
	default:
		return &clientTurns{guard: guard}
	}
}

// consume calls consume with a context that ends after the client's, or after the queue has frozen, when it is its
// turn.
func (t *clientTurns) consume(client context.Context, consume func(context.Context) error) error {
	if t == nil || client.Done() == nil && t.guard == nil {
		return consume(client)
	}
	waiting, end := context.WithCancelCause(context.WithoutCancel(client))
	defer end(nil)
	returned := make(chan struct{})
	endInTurn := func(cause context.Context) (stop func() bool) {
		return context.AfterFunc(cause, func() {
			t.leaving.Lock()
			defer t.leaving.Unlock()
			end(context.Cause(cause))
			<-returned
		})
	}
	defer endInTurn(client)()
	if t.guard != nil {
		defer endInTurn(t.guard.frozen)()
	}
	defer close(returned)
	err := consume(clientContext{Context: waiting, client: client})
	if err != nil && t.guard != nil && t.guard.reason() != nil {
		return t.guard.reason()
	}
	return err
}

// clientContext ends when its embedded context does, with the client's error. Its deadline is the client's.
type clientContext struct {
	context.Context
	client context.Context
}

// clientKey is the key under which a context derived from a clientContext finds the client's own.
type clientKey struct{}

// Value returns the client's own context to clientOf, and otherwise the client's values.
func (c clientContext) Value(key any) any {
	if key == (clientKey{}) {
		return c.client
	}
	return c.Context.Value(key)
}

// Deadline returns the client's deadline. No retry is waited for that would come after it.
func (c clientContext) Deadline() (time.Time, bool) { return c.client.Deadline() }

// Err returns the client's error once the context has ended.
func (c clientContext) Err() error {
	err := c.Context.Err()
	if client := c.client.Err(); err != nil && client != nil {
		return client
	}
	return err
}

// clientOf returns the client's own context if ctx is derived from a clientContext, and otherwise ctx. A queue that
// answers before the result keeps only the values of a context, so that its batches do not end with their clients. Such
// a context never ends, and is returned as it is.
func clientOf(ctx context.Context) context.Context {
	if client, ok := ctx.Value(clientKey{}).(context.Context); ok && ctx.Done() != nil {
		return client
	}
	return ctx
}
