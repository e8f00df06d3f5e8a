// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// countFile counts the records in a file of contrib's fileexporter with `format: proto` and `compression: zstd`: messages
// that are compressed one by one, each after its length in 4 bytes, big-endian.
func countFile(path string, s signal) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		return 0, err
	}
	defer decoder.Close()
	records := 0
	for in := bufio.NewReaderSize(file, 1<<20); ; {
		message, err := nextMessage(in, decoder)
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return 0, fmt.Errorf("%s, after %d records: %w", path, records, err)
		}
		found, err := countRecords(message, s)
		if err != nil {
			return 0, fmt.Errorf("%s, after %d records: %w", path, records, err)
		}
		records += found
	}
}

func nextMessage(in io.Reader, decoder *zstd.Decoder) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	compressed := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(in, compressed); err != nil {
		return nil, fmt.Errorf("a message is cut off: %w", err)
	}
	return decoder.DecodeAll(compressed, nil)
}
