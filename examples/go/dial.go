package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// dial connects to an address with mutual TLS, verified the ordinary way: the server by roots, the client by its leaf. A
// server that is called by another name than its address (control's doors) is verified by that name.
func dial(address, serverName string, roots *x509.CertPool, leaf ...tls.Certificate) (*grpc.ClientConn, error) {
	config := &tls.Config{RootCAs: roots, Certificates: leaf, ServerName: serverName, MinVersion: tls.VersionTLS13}
	return connect(address, config)
}

// callWithin bounds calls with one answer; servers refuse deadlines of more than half a minute.
const callWithin = 10 * time.Second

func connect(address string, config *tls.Config) (*grpc.ClientConn, error) {
	inTime := func(
		ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
		options ...grpc.CallOption,
	) error {
		ctx, cancel := context.WithTimeout(ctx, callWithin)
		defer cancel()
		return invoke(ctx, method, request, answer, conn, options...)
	}
	return grpc.NewClient(
		"passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithUnaryInterceptor(inTime),
	)
}

// dialFolder dials with the key, the certificate and the roots of a folder, as weft writes it for a client or an operator.
func dialFolder(address, dir, name string) (*grpc.ClientConn, error) {
	leaf, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(filepath.Join(dir, "servers.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: servers.pem holds no certificate", dir)
	}
	return dial(address, "", roots, leaf)
}

// dialEntry connects a client, whose folder "weft identity add client NAME --out DIR" wrote, to an entry: the given one or,
// when that is empty, the first one the folder knows.
func dialEntry(dir, entry string) (*grpc.ClientConn, error) {
	if entry == "" {
		var facts struct{ Entries []string }
		if err := readJSON(filepath.Join(dir, "client.json"), &facts); err != nil {
			return nil, err
		}
		if len(facts.Entries) == 0 {
			return nil, errors.New("the folder names no entry: give one with -entry")
		}
		entry = facts.Entries[0]
	}
	return dialFolder(entry, dir, "client")
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
