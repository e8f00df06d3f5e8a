// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// killedStorage applies one operation after the other, as a storage without transactions, and keeps what a kill after
// each would leave.
type killedStorage struct {
	*memoryStorage

	mu sync.Mutex
	// states has the storage before the first operation and after each that changed it.
	states []*memoryStorage
	// batches has the operations of each Batch.
	batches []string
	// fail makes a Batch fail before its first operation. Nil lets all succeed.
	fail func(ops []*storage.Operation) error
}

func (s *killedStorage) GetClient(
	ctx context.Context, kind component.Kind, id component.ID, name string,
) (storage.Client, error) {
	client, err := s.memoryStorage.GetClient(ctx, kind, id, name)
	return &killedClient{Client: client, storage: s}, err
}

type killedClient struct {
	storage.Client
	storage *killedStorage
}

func (c *killedClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	s := c.storage
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(ops); err != nil {
			return err
		}
	}
	text := ""
	for _, op := range ops {
		text += [...]string{"G", "S", "D"}[op.Type] + op.Key + " "
		if err := c.Client.Batch(ctx, op); err != nil {
			return err
		}
		if op.Type != storage.Get {
			s.states = append(s.states, s.snapshot())
		}
	}
	s.batches = append(s.batches, text)
	return nil
}

// extensionsHost is a host with these extensions that keeps the statuses it gets.
type extensionsHost struct {
	component.Host
	extensions map[component.ID]component.Component
	reported   []*componentstatus.Event
}

func (h *extensionsHost) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *extensionsHost) Report(event *componentstatus.Event) { h.reported = append(h.reported, event) }

func hostWithKilled(s *killedStorage) *extensionsHost {
	return &extensionsHost{
		Host: componenttest.NewNopHost(), extensions: map[component.ID]component.Component{storageID: s},
	}
}

func queueOnDisk(t *testing.T) *Config {
	return fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().StorageID = &storageID })
}

// exportedParts returns the parts of all calls so far.
func exportedParts(library *fakeLibrary) (parts []native.Part) {
	for _, call := range library.exports() {
		parts = append(parts, call.parts...)
	}
	return parts
}

// killedInProgress returns what a killed process leaves that had this many requests in progress, and their ids.
func killedInProgress(t *testing.T, count int) (*memoryStorage, map[native.Part]struct{}) {
	t.Helper()
	disk, down := newMemoryStorage(), &fakeLibrary{answer: failingWith(temporaryFailure)}
	logs := startLogs(t, down, queueOnDisk(t), nopSettings(), hostWith(disk))
	for i := range count {
		require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf(fmt.Sprint("request ", i))))
	}
	ids := map[native.Part]struct{}{}
	require.Eventually(t, func() bool {
		for _, part := range exportedParts(down) {
			ids[part] = struct{}{}
		}
		return len(ids) == count
	}, 10*time.Second, time.Millisecond)
	killed := disk.snapshot()
	require.NoError(t, logs.Shutdown(t.Context()))
	return killed, ids
}

// restart starts a process while the destination is down, and stops it. It returns the storage with its history.
func restart(t *testing.T, disk *memoryStorage, fail func([]*storage.Operation) error) *killedStorage {
	t.Helper()
	recorded := &killedStorage{memoryStorage: disk.snapshot(), states: []*memoryStorage{disk.snapshot()}, fail: fail}
	down := &fakeLibrary{answer: failingWith(temporaryFailure)}
	logs := startLogs(t, down, queueOnDisk(t), nopSettings(), hostWithKilled(recorded))
	require.NoError(t, logs.Shutdown(t.Context()))
	return recorded
}

// requireStored starts a process while the destination works. It must store all these requests and leave nothing but
// metadata in the queue.
func requireStored(t *testing.T, disk *memoryStorage, ids map[native.Part]struct{}, note string) {
	t.Helper()
	up := &fakeLibrary{}
	logs := startLogs(t, up, queueOnDisk(t), nopSettings(), hostWith(disk))
	stored := map[native.Part]struct{}{}
	assert.Eventually(t, func() bool {
		for _, part := range exportedParts(up) {
			stored[part] = struct{}{}
		}
		return len(stored) == len(ids)
	}, 5*time.Second, time.Millisecond, note)
	require.NoError(t, logs.Shutdown(t.Context()))
	require.Equal(t, ids, stored, note)
	require.Equal(t, []string{"logs/qmv0"}, slices.Collect(maps.Keys(disk.values)), note)
}

func TestKilledStartLosesNothing(t *testing.T) {
	killed, ids := killedInProgress(t, 8)
	recorded := restart(t, killed, nil)
	require.Greater(t, len(recorded.states), 3*len(ids), "each request is written and its original deleted")
	for i, state := range recorded.states {
		requireStored(t, state, ids, fmt.Sprintf("killed after write %d of %s", i, recorded.batches))
	}
}

func TestStartThatIsKilledAgainAndAgainLosesNothing(t *testing.T) {
	killed, ids := killedInProgress(t, 8)
	// Each start moves two requests more.
	for range 6 {
		states := restart(t, killed, nil).states
		killed = states[min(6, len(states)-1)]
	}
	requireStored(t, killed, ids, "after six kills")
}

func TestOriginalIsDeletedWithItsCopy(t *testing.T) {
	killed, ids := killedInProgress(t, 3)
	batches := restart(t, killed, nil).batches
	require.Greater(t, len(batches), len(ids)+1)
	originals := map[string]struct{}{}
	for i, batch := range batches[1 : len(ids)+1] {
		var original string
		_, err := fmt.Sscanf(batch, fmt.Sprintf("Sqmv0 S%d D%%s", i+len(ids)), &original)
		require.NoError(t, err, batch)
		originals[original] = struct{}{}
	}
	assert.Equal(t, map[string]struct{}{"0": {}, "1": {}, "2": {}}, originals)
}

func TestUnreadableRequestIsDeletedAfterAllCopiesAreWritten(t *testing.T) {
	killed, ids := killedInProgress(t, 3)
	part := requestPart(t, killed.values["logs/1"])
	killed.values["logs/1"] = []byte("damaged")
	delete(ids, part)
	recorded := restart(t, killed, nil)
	deletion := slices.Index(recorded.batches, "D1 ")
	require.Equal(t, 3, deletion, "%s", recorded.batches)
	for i, state := range recorded.states {
		requireStored(t, state, ids, fmt.Sprintf("killed after write %d of %s", i, recorded.batches))
	}
}

// requestPart returns the id of a queued request with one part.
func requestPart(t *testing.T, value []byte) native.Part {
	t.Helper()
	r, err := decodeRequest(value)
	require.NoError(t, err)
	require.Len(t, r.parts(), 1)
	return r.parts()[0]
}

// A full disk takes no copy beside its original, but takes it in place of it.
func TestFullDiskKeepsRequests(t *testing.T) {
	killed, ids := killedInProgress(t, 3)
	recorded := restart(t, killed, func(ops []*storage.Operation) error {
		if len(ops) == 3 {
			return storage.ErrStorageFull
		}
		return nil
	})
	requireStored(t, recorded.snapshot(), ids, fmt.Sprint(recorded.batches))
}

func TestFailedStartDeletesNothing(t *testing.T) {
	disk := newMemoryStorage()
	disk.values["logs/1"] = []byte("one")
	recorded := &killedStorage{memoryStorage: disk}
	e := &signalExporter{cfg: queueOnDisk(t), logger: nopSettings().Logger, guard: newLayoutGuard(nil)}
	failure := errors.New("no")
	var client storage.Client
	require.Equal(t, failure, e.startQueue(t.Context(), hostWithKilled(recorded),
		func(ctx context.Context, host component.Host) (err error) {
			extension := host.GetExtensions()[storageID].(storage.Extension)
			client, err = extension.GetClient(ctx, component.KindExporter, component.ID{}, "logs")
			require.NoError(t, err)
			require.NoError(t, client.Batch(ctx, storage.GetOperation("1")))
			require.NoError(t, client.Batch(ctx, storage.DeleteOperation("1")))
			return failure
		}))
	assert.Equal(t, []string{"G1 "}, recorded.batches)
	// From now on the client only passes calls on.
	require.NoError(t, client.Batch(t.Context(), storage.GetOperation("1")))
	require.NoError(t, client.Batch(t.Context(), storage.DeleteOperation("1")))
	assert.Equal(t, []string{"G1 ", "G1 ", "D1 "}, recorded.batches)
	assert.Empty(t, disk.values)
}

func TestRestartHostIsTheHostExceptForTheStorage(t *testing.T) {
	other := component.MustNewID("other")
	host := hostWithKilled(&killedStorage{memoryStorage: newMemoryStorage()})
	host.extensions[other] = newMemoryStorage()
	wrapped := &restartHost{Host: host, storage: storageID}
	assert.Same(t, host.extensions[other], wrapped.GetExtensions()[other])
	assert.IsType(t, &killedStorage{}, host.extensions[storageID], "the host's own map is not changed")

	event := componentstatus.NewEvent(componentstatus.StatusOK)
	componentstatus.ReportStatus(wrapped, event)
	assert.Equal(t, []*componentstatus.Event{event}, host.reported)

	delete(host.extensions, storageID)
	assert.NotContains(t, wrapped.GetExtensions(), storageID)
	e := &signalExporter{cfg: fastConfig(t, nil)}
	require.NoError(t, e.startQueue(t.Context(), host, func(_ context.Context, got component.Host) error {
		assert.Same(t, host, got, "a queue in memory")
		return nil
	}))
}
