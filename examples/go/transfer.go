package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"google.golang.org/grpc"
)

// Transferred is what "transfer" prints.
type Transferred struct {
	// Both ways together.
	Bytes       int64   `json:"bytes"`
	SHA256Equal bool    `json:"sha256_equal"`
	Seconds     float64 `json:"seconds"`
	MBPerSecond float64 `json:"mb_per_s"`
}

func transferCommand(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("transfer", flag.ExitOnError)
	identity := flags.String("identity", "", "client folder")
	entry := flags.String("entry", "", "host:port of an entry (default: the first one the folder knows)")
	resource := flags.String("resource", "echo", "what answers with what it was sent or, with -one-way, with its SHA-256")
	size := flags.Int64("bytes", 64<<20, "how much to send")
	rate := flags.Float64("rate", 0, "bytes a second to send at most; 0: as fast as it goes")
	hold := flags.Int64("hold", 0, "after so many bytes wait for a line on standard input; 0: never")
	oneWay := flags.Bool("one-way", false, "the resource answers with the SHA-256, in hex, of all it was sent")
	patience := flags.Duration("within", 2*time.Minute, "deadline of the whole call")
	_ = flags.Parse(args)
	conn, err := dialEntry(*identity, *entry)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	return transfer(ctx, conn, *resource, *size, *rate, *hold, *oneWay)
}

// transfer sends random bytes to a resource while it reads the answer, and compares hashes.
func transfer(
	ctx context.Context, conn *grpc.ClientConn, resource string, size int64, rate float64, hold int64,
	oneWay bool,
) (*Transferred, error) {
	channel, err := Open(ctx, conn, resource)
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	started := time.Now()
	sent := sha256.New()
	writing := make(chan error, 1)
	go func() {
		payload := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{}), size), sent)
		progress := &meter{what: "sent", total: size, rate: rate, hold: hold, report: oneWay}
		_, err := io.CopyBuffer(io.MultiWriter(channel, progress), payload, make([]byte, maxData))
		if err == nil {
			err = channel.CloseWrite()
		}
		writing <- err
	}()
	back, equal, err := receive(channel, size, oneWay)
	// Why a write failed is what reading says.
	if err == nil {
		err = <-writing
	}
	if err == nil {
		err = channel.Finish()
	}
	if err != nil {
		return nil, err
	}
	seconds := time.Since(started).Seconds()
	total := size + back
	return &Transferred{
		Bytes:       total,
		SHA256Equal: equal(sent.Sum(nil)),
		Seconds:     seconds,
		MBPerSecond: float64(total) / 1e6 / seconds,
	}, nil
}

// receive reads to the end: how much came and how to compare it with the hash of what was sent.
func receive(channel *Channel, size int64, oneWay bool) (int64, func(sent []byte) bool, error) {
	if oneWay {
		answer, err := io.ReadAll(io.LimitReader(channel, 2*sha256.Size+1))
		return 0, func(sent []byte) bool { return hex.EncodeToString(sent) == string(answer) }, err
	}
	hash := sha256.New()
	progress := &meter{what: "received", total: size, report: true}
	count, err := io.CopyBuffer(io.MultiWriter(hash, progress), struct{ io.Reader }{channel}, make([]byte, maxData))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return count, func(sent []byte) bool { return count == size && bytes.Equal(hash.Sum(nil), sent) }, err
}

// meter tells of every sixteenth that went through it. It lets no more through than a rate, when there is one, and stops once
// for whoever wants to do something to the fabric meanwhile.
type meter struct {
	what        string
	total, done int64
	rate        float64
	hold        int64
	started     time.Time
	report      bool
}

func (m *meter) Write(bytes []byte) (int, error) {
	if m.done == 0 {
		m.started = time.Now()
	}
	before := m.done * 16 / max(m.total, 1)
	m.done += int64(len(bytes))
	if m.report && m.done*16/max(m.total, 1) > before {
		tell(map[string]any{m.what: m.done, "of": m.total})
	}
	if m.hold > 0 && m.done >= m.hold {
		m.hold = 0
		tell(map[string]any{"holding": m.done})
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
	if m.rate > 0 {
		time.Sleep(time.Until(m.started.Add(time.Duration(float64(m.done) / m.rate * float64(time.Second)))))
	}
	return len(bytes), nil
}
