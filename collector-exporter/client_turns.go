// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"sync"
)

// clientTurns ends the contexts of clients one after the other while their requests wait for room in a full queue.
//
// exporterhelper's queue hangs for good when the contexts of two waiting clients have ended and room is announced twice
// before they have left: the second announcement waits, with the queue's lock, for one of them to take the first, and
// they wait for the lock (https://github.com/open-telemetry/opentelemetry-collector/issues/15700). This happens at the
// end of an outage, when a batch of many requests makes room for many clients whose time runs out. A single client that
// leaves cannot hold an announcement up.
type clientTurns struct {
	// leaving is held while a client's context has ended and its call has not returned.
	leaving sync.Mutex
}

// newClientTurns returns nil where no client waits for room.
func newClientTurns(cfg *Config) *clientTurns {
	if !cfg.QueueConfig.HasValue() || !cfg.QueueConfig.Get().BlockOnOverflow {
		return nil
	}
	// The context is also that of the attempt then, whose end the library must learn at once.
	if cfg.QueueConfig.Get().WaitForResult {
		return nil
	}
	return &clientTurns{}
}

// consume calls consume with a context that ends after the client's, when it is its turn.
func (t *clientTurns) consume(client context.Context, consume func(context.Context) error) error {
	if t == nil || client.Done() == nil {
		return consume(client)
	}
	waiting, end := context.WithCancelCause(context.WithoutCancel(client))
	defer end(nil)
	returned := make(chan struct{})
	stop := context.AfterFunc(client, func() {
		t.leaving.Lock()
		defer t.leaving.Unlock()
		end(context.Cause(client))
		<-returned
	})
	defer stop()
	defer close(returned)
	return consume(clientContext{Context: waiting, client: client})
}

// clientContext ends when its embedded context does, with the client's error.
type clientContext struct {
	context.Context
	client context.Context
}

// Err returns the client's error once the context has ended.
func (c clientContext) Err() error {
	err := c.Context.Err()
	if client := c.client.Err(); err != nil && client != nil {
		return client
	}
	return err
}
