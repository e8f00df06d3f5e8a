// SPDX-License-Identifier: Apache-2.0

// Command loadgen sends OTLP requests that were encoded beforehand to a Collector, so that the sender costs little beside
// what it measures. It encodes a pool of requests once, then does what its standard input says, a line at a time, and
// answers each line with one line of JSON:
//
//	send <grpc|http> <host:port> <records per second, 0 for as many as are accepted> <seconds>
//	count <file of contrib's fileexporter, proto and zstd>
//
// Each record of a pool has a time of its own, in microseconds, and each time a request is sent its times move to now:
// no two records that are sent have the same time, so a reader can tell a repeated row from a new one.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	options := registerOptions()
	flag.Parse()
	if err := run(*options, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

type options struct {
	payload        string
	records        int
	poolBytes      int
	inFlight       int
	timeoutSeconds int
}

func registerOptions() *options {
	o := &options{}
	flag.StringVar(&o.payload, "payload", "logs-300", "what to send: "+strings.Join(payloadNames(), ", "))
	flag.IntVar(&o.records, "records", 8192, "records of a request")
	flag.IntVar(&o.poolBytes, "pool-bytes", 192<<20, "bytes of requests that differ; at least 4 requests are made")
	flag.IntVar(&o.inFlight, "in-flight", 8, "requests that wait for their answer at the same time")
	flag.IntVar(&o.timeoutSeconds, "timeout-seconds", 900, "how long a request may wait for its answer")
	return o
}

func run(o options, in io.Reader, out io.Writer) error {
	pool, err := newPool(o)
	if err != nil {
		return err
	}
	answer := json.NewEncoder(out)
	if err := answer.Encode(pool.facts()); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		result, err := obey(o, pool, strings.Fields(lines.Text()))
		if err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if err := answer.Encode(result); err != nil {
			return err
		}
	}
	return lines.Err()
}

func obey(o options, pool *pool, words []string) (any, error) {
	switch {
	case len(words) == 5 && words[0] == "send":
		rate, err := strconv.ParseFloat(words[3], 64)
		if err != nil || rate < 0 {
			return nil, errors.New("the rate is no number")
		}
		seconds, err := strconv.ParseFloat(words[4], 64)
		if err != nil || seconds <= 0 {
			return nil, errors.New("the seconds are no number above 0")
		}
		sender, err := newSender(words[1], words[2], pool.signal, o)
		if err != nil {
			return nil, err
		}
		defer sender.close()
		return load{
			sender:  sender,
			pool:    pool,
			options: o,
			rate:    rate,
			length:  time.Duration(seconds * float64(time.Second)),
		}.run(context.Background()), nil
	case len(words) == 2 && words[0] == "count":
		records, err := countFile(words[1], pool.signal)
		return map[string]int{"records": records}, err
	default:
		return nil, errors.New("unknown command")
	}
}
