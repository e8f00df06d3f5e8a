// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// queueStorage returns the id of the storage extension that holds the queue. Nil means a queue in memory, or none.
func (e *signalExporter) queueStorage() *component.ID {
	queue := e.cfg.QueueConfig.Get()
	if queue == nil {
		return nil
	}
	return queue.StorageID
}

// startQueue starts exporterhelper with start, so that a process that is killed meanwhile loses nothing of a queue on
// disk. It fails if the queue froze meanwhile (see layoutGuard), which exporterhelper does not notice.
//
// A start of exporterhelper's queue (v0.161) moves the requests that were in progress to the end of the queue: it reads
// all of them, deletes all of them in one transaction, and then writes each in a transaction of its own. Killed in
// between, it loses those that are deleted and not written yet. restartClient delays each deletion to the transaction
// that writes the request again.
func (e *signalExporter) startQueue(
	ctx context.Context, host component.Host, start func(context.Context, component.Host) error,
) error {
	id := e.queueStorage()
	if id == nil {
		return start(ctx, host)
	}
	restart := &restartHost{Host: host, storage: *id, guard: e.guard, logger: e.logger}
	err := start(ctx, restart)
	if err == nil {
		err = e.guard.endStart()
	}
	if restart.client != nil {
		restart.client.end(ctx, err == nil)
	}
	return err
}

// restartHost is the Collector's host, with a storage extension whose client is a restartClient.
type restartHost struct {
	component.Host
	storage component.ID
	guard   *layoutGuard
	logger  *zap.Logger
	// client is the queue's. It is set during the start.
	client *restartClient
}

// Report forwards a status. The exporter and componentstatus look for this method, which the embedded interface hides.
func (h *restartHost) Report(event *componentstatus.Event) {
	componentstatus.ReportStatus(h.Host, event)
}

func (h *restartHost) GetExtensions() map[component.ID]component.Component {
	extensions := h.Host.GetExtensions()
	extension, ok := extensions[h.storage].(storage.Extension)
	if !ok {
		// The queue reports a missing extension, and one of another kind.
		return extensions
	}
	extensions = maps.Clone(extensions)
	extensions[h.storage] = &restartStorage{Extension: extension, host: h}
	return extensions
}

type restartStorage struct {
	storage.Extension
	host *restartHost
}

func (s *restartStorage) GetClient(
	ctx context.Context, kind component.Kind, id component.ID, name string,
) (storage.Client, error) {
	client, err := s.Extension.GetClient(ctx, kind, id, name)
	if err != nil {
		return nil, err
	}
	client = &guardedClient{Client: client, guard: s.host.guard}
	s.host.client = &restartClient{Client: client, logger: s.host.logger}
	return s.host.client, nil
}

// restartClient is the storage client of a queue. While the queue starts, it holds a Batch that deletes what the Batch
// before it read (the originals), and adds each deletion to the Batch of Sets that writes the same bytes again. What
// is left in the end, such as requests that cannot be read, is deleted before any Batch of another kind and when the
// start has succeeded. From then on the client only passes calls on.
//
// The queue's metadata list the originals as dispatched. They are stored anew with each request that is written again,
// and continue to list all originals until the queue's first Batch of another kind, by which a consumer takes a
// request. So a process that is killed
//
//   - before the first request is written again, leaves everything as it was;
//   - after a request is written, leaves it once: in the queue, whose new end the same transaction has stored. The
//     next start does not find its original, warns ("Failed retrieving item"), and moves the others;
//   - within a Batch, if the storage is not transactional, leaves an original beside its copy at worst, because the
//     deletion comes last. Both have the same request ids, so the library stores one of them;
//   - before the rest is deleted, leaves it to the next start, which fails to read it as this one did;
//   - after that, leaves what the queue itself would leave. The metadata may list requests that are gone for one more
//     start.
//
// As before, the sizes in the metadata count each request once. It needs no more disk space than one request: if a
// Batch fails, the original is deleted first. Only a process that is killed exactly then loses that request.
//
// Older Collectors list dispatched requests in a key of its own, of which the first new metadata make an end. The
// exporter never wrote that layout.
type restartClient struct {
	storage.Client
	logger *zap.Logger
	// ended says that calls are only passed on. It is set under mu.
	ended atomic.Bool

	mu sync.Mutex
	// read has the operations of the last Batch, if that consisted of Gets.
	read []*storage.Operation
	// originals has the Gets of requests to delete, in the order in which they are written again.
	originals []*storage.Operation
	// rest has the deletions of requests that were not written again.
	rest []*storage.Operation
}

func (c *restartClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if c.ended.Load() {
		return c.Client.Batch(ctx, ops...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended.Load():
		// It ended while this call waited.
	case consistsOf(ops, storage.Get):
		err := c.Client.Batch(ctx, ops...)
		c.read = nil
		if err == nil {
			c.read = slices.Clone(ops)
		}
		return err
	case c.deletesWhatWasRead(ops):
		c.originals, c.read = c.read, nil
		return nil
	case len(c.originals)+len(c.rest) > 0 && consistsOf(ops, storage.Set):
		return c.putBack(ctx, ops)
	default:
		c.deleteRest(ctx)
	}
	return c.Client.Batch(ctx, ops...)
}

// putBack writes a request again and deletes its original with it.
func (c *restartClient) putBack(ctx context.Context, ops []*storage.Operation) error {
	// The queue does not say which request it writes, but keeps their order, and queueEncoding writes what it read.
	written := ops[len(ops)-1].Value
	i := slices.IndexFunc(c.originals, func(o *storage.Operation) bool { return bytes.Equal(o.Value, written) })
	if i < 0 {
		// Looking again for each request would take long. The originals are deleted in the end.
		c.skip(len(c.originals))
		return c.Client.Batch(ctx, ops...)
	}
	c.skip(i)
	deletion := storage.DeleteOperation(c.originals[0].Key)
	c.originals = c.originals[1:]
	err := c.Client.Batch(ctx, append(slices.Clone(ops), deletion)...)
	if err == nil {
		return nil
	}
	// The disk may be full. The queue gives up what it cannot write, so the original makes room for it.
	if c.Client.Batch(ctx, deletion) != nil {
		return err
	}
	return c.Client.Batch(ctx, ops...)
}

// skip leaves the first n originals to deleteRest.
func (c *restartClient) skip(n int) {
	for _, original := range c.originals[:n] {
		c.rest = append(c.rest, storage.DeleteOperation(original.Key))
	}
	c.originals = c.originals[n:]
}

// deleteRest ends the special treatment and deletes what was not written again.
func (c *restartClient) deleteRest(ctx context.Context) {
	c.skip(len(c.originals))
	rest := c.rest
	c.forget()
	if len(rest) == 0 {
		return
	}
	if err := c.Client.Batch(ctx, rest...); err != nil {
		c.logger.Warn("Requests that were read from the persistent queue cannot be deleted there. They take space.",
			zap.Int("requests", len(rest)), zap.Error(err))
	}
}

func (c *restartClient) forget() {
	c.read, c.originals, c.rest = nil, nil, nil
	c.ended.Store(true)
}

// end is called after the start. A start that failed deletes nothing more.
func (c *restartClient) end(ctx context.Context, started bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended.Load():
	case started:
		c.deleteRest(ctx)
	default:
		c.forget()
	}
}

// deletesWhatWasRead says whether a Batch deletes exactly what the Batch before it read.
func (c *restartClient) deletesWhatWasRead(ops []*storage.Operation) bool {
	sameKey := func(a, b *storage.Operation) bool { return a.Key == b.Key }
	return consistsOf(ops, storage.Delete) && slices.EqualFunc(ops, c.read, sameKey)
}

// consistsOf says whether a Batch has operations, all of this type.
func consistsOf(ops []*storage.Operation, kind storage.OpType) bool {
	other := func(op *storage.Operation) bool { return op.Type != kind }
	return len(ops) > 0 && !slices.ContainsFunc(ops, other)
}
