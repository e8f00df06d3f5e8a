// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

const (
	newerVersion      = encodingVersion + 1
	newerVersionError = "the persistent queue holds requests of layout version 2, written by a newer Collector; " +
		"nothing was deleted. Run that version until the queue is empty, or move the queue's file away"
)

// setLayoutVersion changes the layout version of a request on disk, and its checksum.
func setLayoutVersion(disk *memoryStorage, key string, version byte) {
	disk.mu.Lock()
	defer disk.mu.Unlock()
	value := slices.Clone(disk.values[key])
	value[len(encodingMagic)] = version
	body, trailer := value[:len(value)-encodingTrailerLen], value[len(value)-encodingTrailerLen:]
	binary.LittleEndian.PutUint32(trailer, crc32.Checksum(body, castagnoli))
	disk.values[key] = value
}

// oneByOne is the configuration of a queue on disk of which one request is exported and another one is taken at a time.
// All others stay in the queue.
func oneByOne(t *testing.T) *Config {
	cfg := queueOnDisk(t)
	cfg.QueueConfig.Get().NumConsumers = 1
	cfg.QueueConfig.Get().Batch.Get().MinSize = 1
	return cfg
}

// gatedLibrary returns a library that stores one request for each value from the channel.
func gatedLibrary() (*fakeLibrary, chan struct{}) {
	gate := make(chan struct{})
	return &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
		<-gate
		return native.Outcome{Rows: 1}, nil
	}}, gate
}

// A Collector that was replaced by an older one acknowledged the requests.
func TestQueueOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Run("in progress at the start", func(t *testing.T) {
		disk, ids := killedInProgress(t, 3)
		setLayoutVersion(disk, "logs/1", newerVersion)
		left := disk.snapshot().values
		// This version does not start, however often it is tried.
		for range 2 {
			library := &fakeLibrary{}
			logs, err := newFactory(library.open).CreateLogs(t.Context(), nopSettings(), queueOnDisk(t))
			require.NoError(t, err)
			require.EqualError(t, logs.Start(t.Context(), hostWith(disk)), newerVersionError)
			require.NoError(t, logs.Shutdown(t.Context()))
			assert.Empty(t, library.exports())
			assert.Equal(t, left, disk.values)
		}
		setLayoutVersion(disk, "logs/1", encodingVersion)
		requireStored(t, disk, ids, "by the newer version")
	})

	t.Run("waiting, met later", func(t *testing.T) {
		disk, host := newMemoryStorage(), newStatusHost()
		host.Host = hostWith(disk)
		library, gate := gatedLibrary()
		set, seen := observedSettings()
		logs := startLogs(t, library, oneByOne(t), set, host)
		// The host accepts a fatal status at once.
		logs.(*logsExporter).stop.base.status.startedBy = time.Time{}
		for i := range 4 {
			require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf(fmt.Sprint("request ", i))))
		}
		ids := map[native.Part]struct{}{}
		for _, key := range []string{"logs/1", "logs/2", "logs/3"} {
			ids[requestPart(t, disk.snapshot().values[key])] = struct{}{}
		}
		setLayoutVersion(disk, "logs/2", newerVersion)
		// Once the first request is stored, the second one is exported and the third one is read.
		gate <- struct{}{}
		frozen := func() bool { return seen.FilterMessageSnippet("leaves its queue alone").Len() > 0 }
		require.Eventually(t, frozen, time.Minute, time.Millisecond)
		left := disk.snapshot().values
		require.ElementsMatch(t, []string{"logs/qmv0", "logs/1", "logs/2", "logs/3"}, slices.Collect(maps.Keys(left)))
		require.EqualError(t, logs.ConsumeLogs(t.Context(), logsOf("refused")), newerVersionError)
		close(gate)
		require.Eventually(t, func() bool { return len(host.fatal()) > 0 }, time.Minute, time.Millisecond)
		require.NoError(t, logs.Shutdown(t.Context()))

		require.Len(t, host.fatal(), 1)
		require.EqualError(t, host.fatal()[0].Err(), newerVersionError)
		assert.Len(t, library.exports(), 2)
		assert.Equal(t, left, disk.values)
		assert.Zero(t, seen.FilterMessageSnippet("It is lost.").Len())

		// The second request is delivered again, with its id, and the third one is no longer waiting.
		setLayoutVersion(disk, "logs/2", encodingVersion)
		requireStored(t, disk, ids, "by the newer version")
	})
}

func TestClientsOfAFullQueueThatFreezesAreSentAway(t *testing.T) {
	const queued, waiting = 4, 12
	disk := newMemoryStorage()
	library, gate := gatedLibrary()
	cfg := oneByOne(t)
	queue := cfg.QueueConfig.Get()
	queue.Sizer, queue.QueueSize = exporterhelper.RequestSizerTypeRequests, queued
	logs := startLogs(t, library, cfg, nopSettings(), hostWith(disk))
	for range queued {
		require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	}
	answers := make(chan error, waiting)
	for i := range waiting {
		// Half of the clients have no end.
		client := t.Context()
		if i%2 == 0 {
			client = context.WithoutCancel(client)
		}
		go func() { answers <- logs.ConsumeLogs(client, logsOf("one")) }()
	}
	waitForRoom := func() bool { return goroutinesIn("queue.(*cond).Wait(") == waiting }
	require.Eventually(t, waitForRoom, time.Minute, time.Millisecond)
	setLayoutVersion(disk, "logs/2", newerVersion)
	gate <- struct{}{}
	returned := func() bool { return len(answers) == waiting }
	require.Eventually(t, returned, time.Minute, time.Millisecond, "clients still wait for room")
	stored := 0
	for range waiting {
		if err := <-answers; err != nil {
			require.EqualError(t, err, newerVersionError)
		} else {
			stored++
		}
	}
	// The first request made room for one before the third was read, or not.
	assert.LessOrEqual(t, stored, 1)
	close(gate)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestNewerLayoutVersion(t *testing.T) {
	for data, want := range map[string]byte{
		"":              0,
		"damaged":       0,
		"O2IQ":          0,
		"O2IX\x02":      0,
		"O2IQ\x00 rest": 0,
		"O2IQ\x01 rest": 0,
		"O2IQ\x02":      2,
		"O2IQ\xff rest": 255,
	} {
		version, newer := newerLayoutVersion([]byte(data))
		assert.Equal(t, want > 0, newer, "%q", data)
		if newer {
			assert.Equal(t, want, version, "%q", data)
		}
	}
}

// Otherwise a damaged bit would stop the Collector for good, and blame a newer version.
func TestDamagedVersionIsNoNewerLayout(t *testing.T) {
	head := append([]byte(encodingMagic), encodingVersion)
	body := append(head, make([]byte, encodingHeaderLen)...)
	data := binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
	data[len(encodingMagic)] = 3
	_, newer := newerLayoutVersion(data)
	assert.False(t, newer)
	data[len(data)-1] ^= 1
	version, newer := newerLayoutVersion(data)
	assert.True(t, newer)
	assert.Equal(t, byte(3), version)
}

func TestFrozenQueueRefusesEveryBatchAndWrite(t *testing.T) {
	disk := newMemoryStorage()
	disk.values["logs/1"], disk.values["logs/2"] = []byte("damaged"), []byte("O2IQ\x02 rest")
	inner, err := disk.GetClient(t.Context(), component.KindExporter, component.ID{}, "logs")
	require.NoError(t, err)
	var reported []error
	guard := newLayoutGuard(func(reason error) { reported = append(reported, reason) })
	client := &guardedClient{Client: inner, guard: guard}

	require.NoError(t, client.Batch(t.Context(), storage.GetOperation("1")))
	require.NoError(t, client.Set(t.Context(), "3", []byte("three")))
	require.NoError(t, client.Delete(t.Context(), "1"))
	require.NoError(t, guard.endStart())
	metadata := storage.SetOperation("qmv0", []byte("2 is dispatched"))
	require.EqualError(t, client.Batch(t.Context(), metadata, storage.GetOperation("2")), newerVersionError)

	for name, err := range map[string]error{
		"get":    client.Batch(t.Context(), storage.GetOperation("3")),
		"set":    client.Batch(t.Context(), storage.SetOperation("3", nil)),
		"delete": client.Batch(t.Context(), storage.DeleteOperation("2")),
		"Set":    client.Set(t.Context(), "4", nil),
		"Delete": client.Delete(t.Context(), "2"),
	} {
		require.EqualError(t, err, newerVersionError, name)
	}
	assert.Equal(t, map[string][]byte{
		"logs/2": []byte("O2IQ\x02 rest"), "logs/3": []byte("three"), "logs/qmv0": []byte("2 is dispatched"),
	}, disk.values)
	require.Len(t, reported, 1)
	require.EqualError(t, reported[0], newerVersionError)
}

func TestQueueThatFreezesInItsStartReportsNoStatus(t *testing.T) {
	guard := newLayoutGuard(func(error) { t.Error("the start fails instead") })
	require.EqualError(t, guard.freeze(newerVersion), newerVersionError)
	require.EqualError(t, guard.endStart(), newerVersionError)
	require.EqualError(t, guard.freeze(newerVersion), newerVersionError)
}
