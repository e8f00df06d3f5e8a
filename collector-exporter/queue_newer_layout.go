// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// layoutGuard freezes a queue on disk that holds a request of a newer layout, as after a return to an older Collector.
// exporterhelper (v0.161) deletes a request that it cannot read, but this one was acknowledged. From the read of that
// request on, the storage client (guardedClient) refuses every Batch and every write, so nothing is changed or deleted,
// neither by the rest of a start nor by a stop. The Collector does not start then, or ends.
//
// The disk is left as by a kill at that moment:
//
//   - The metadata list the request as dispatched: before a start that reads it, or by the same Batch as the read of a
//     request that waited. The newer version puts it back into its queue, and this version does not start again.
//   - The metadata also list the requests of this version that are in progress. Those that are committed from then on
//     cannot be deleted. They are delivered again, and the library recognises their ids.
//
// In memory the queue passes over the requests that wait, once, since it can take none of them, and then waits for new
// ones, of which none can be stored. So it neither spins nor keeps a stop waiting. Clients that wait for room in a full
// queue get none, and clientTurns sends them away.
type layoutGuard struct {
	// frozen ends when the queue freezes. Its cause is the reason.
	frozen context.Context
	cancel context.CancelCauseFunc
	// report is called with the reason if the queue has been started by then.
	report func(error)

	mu sync.Mutex
	// started says whether the start is over. A queue that freezes before fails it instead.
	started bool
}

func newLayoutGuard(report func(error)) *layoutGuard {
	frozen, cancel := context.WithCancelCause(context.Background())
	return &layoutGuard{frozen: frozen, cancel: cancel, report: report}
}

// reason returns why the queue is frozen. Nil means that it is not.
func (g *layoutGuard) reason() error {
	return context.Cause(g.frozen)
}

// freeze freezes the queue because of a request of this layout version, and returns the reason.
func (g *layoutGuard) freeze(version byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reason() == nil {
		g.cancel(fmt.Errorf("the persistent queue holds requests of layout version %d, written by a newer Collector; "+
			"nothing was deleted. Run that version until the queue is empty, or move the queue's file away", version))
		if g.started {
			g.report(g.reason())
		}
	}
	return g.reason()
}

// endStart notes that the start is over. It returns the error of a start during which the queue froze.
func (g *layoutGuard) endStart() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = true
	return g.reason()
}

// guardedClient is the storage client of a queue with a layoutGuard.
type guardedClient struct {
	storage.Client
	guard *layoutGuard
}

// Batch looks at what was read even if it fails, because exporterhelper deletes a request whose read fails, too.
func (c *guardedClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if reason := c.guard.reason(); reason != nil {
		return reason
	}
	err := c.Client.Batch(ctx, ops...)
	for _, op := range ops {
		if op.Type != storage.Get {
			continue
		}
		if version, newer := newerLayoutVersion(op.Value); newer {
			return c.guard.freeze(version)
		}
	}
	return err
}

func (c *guardedClient) Set(ctx context.Context, key string, value []byte) error {
	if reason := c.guard.reason(); reason != nil {
		return reason
	}
	return c.Client.Set(ctx, key, value)
}

func (c *guardedClient) Delete(ctx context.Context, key string) error {
	if reason := c.guard.reason(); reason != nil {
		return reason
	}
	return c.Client.Delete(ctx, key)
}

// reportFrozenQueue ends the Collector by a fatal status, because the queue neither stores nor delivers requests any
// more. If the Collector is already stopping, only the log reports it.
func (e *signalExporter) reportFrozenQueue(reason error) {
	e.logger.Error("The Iceberg exporter leaves its queue alone and cannot go on.", zap.Error(reason))
	e.status.reportFatal(reason)
}
