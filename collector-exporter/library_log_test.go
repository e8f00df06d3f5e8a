// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// fakeLines replaces the library's log.
type fakeLines struct {
	mu    sync.Mutex
	lines []string
}

// log adds lines. A line that begins with ! is an error.
func (f *fakeLines) log(lines ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, lines...)
}

func (f *fakeLines) take() (native.LogLevel, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) == 0 {
		return native.LogNone, ""
	}
	line := f.lines[0]
	f.lines = f.lines[1:]
	if line[0] == '!' {
		return native.LogError, line[1:]
	}
	return native.LogWarn, line
}

func observedLogger() (*zap.Logger, *observer.ObservedLogs) {
	core, seen := observer.New(zap.InfoLevel)
	return zap.New(core), seen
}

// loggedLines returns the lines with their levels.
func loggedLines(seen *observer.ObservedLogs) []string {
	var lines []string
	for _, entry := range seen.All() {
		lines = append(lines, entry.Level.String()+" "+entry.Message)
	}
	return lines
}

func TestLibraryLinesGoToTheNewestLogger(t *testing.T) {
	library := &fakeLines{}
	log := &libraryLog{take: library.take}
	first, firstSeen := observedLogger()
	second, secondSeen := observedLogger()

	library.log("otlp2iceberg: before the first")
	log.subscribe(first)
	library.log("commit: cannot delete", "!commit: left alone")
	log.forward()
	log.subscribe(second)
	library.log("for the second")
	log.unsubscribe(second)
	library.log("for the first again")
	log.unsubscribe(first)
	library.log("after the last")
	log.forward()

	assert.Equal(t, []string{
		"warn otlp2iceberg: before the first", "warn commit: cannot delete", "error commit: left alone",
		"warn for the first again",
	}, loggedLines(firstSeen))
	assert.Equal(t, []string{"warn for the second"}, loggedLines(secondSeen))
	log.unsubscribe(first)
	assert.Equal(t, []string{"after the last"}, library.lines, "no logger is left")
}

func TestLibraryLinesBetweenCallsAreForwarded(t *testing.T) {
	library := &fakeLines{}
	log := &libraryLog{take: library.take}
	logger, seen := observedLogger()
	log.subscribe(logger)
	library.log("in the background")
	require.Eventually(t, func() bool { return seen.Len() == 1 }, time.Minute, 10*time.Millisecond)
	log.unsubscribe(logger)
}
