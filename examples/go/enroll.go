package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	enrollmentv1 "weft.internal/gen/weft/enrollment/v1"
	fabricv1 "weft.internal/gen/weft/fabric/v1"
	heartbeatv1 "weft.internal/gen/weft/heartbeat/v1"
)

// Enrolled is what "enroll" prints.
type Enrolled struct {
	NodeID string `json:"node_id"`
	Name   string `json:"name"`
	// Health is what control makes of the last beat.
	Health string `json:"health"`
	Beats  int    `json:"beats"`
}

// enrollCommand makes this program a node: a key of its own, a request under a join token, an operator's approval, a
// certificate, and beats as that node. It is a node in name only: it serves nothing.
func enrollCommand(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("enroll", flag.ExitOnError)
	control := flags.String("control", "", "host:port of control's public port")
	tokenFile := flags.String("token-file", "", "file with a join token")
	name := flags.String("name", "go-example", "the name to ask for")
	beats := flags.Int("beats", 2, "how often to beat")
	patience := flags.Duration("within", time.Minute, "how long to wait for the approval")
	_ = flags.Parse(args)
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	text, err := os.ReadFile(*tokenFile)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(string(text))
	bundle, err := firstContact(ctx, *control, token)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, root := range bundle.Roots {
		if root.Kind == fabricv1.RootKind_ROOT_KIND_CONTROL {
			certificate, err := x509.ParseCertificate(root.CertificateDer)
			if err != nil {
				return nil, err
			}
			roots.AddCert(certificate)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	identity, err := enroll(ctx, *control, roots, bundle.ClusterSlug, token, *name, key)
	if err != nil {
		return nil, err
	}
	health, err := beat(ctx, *control, roots, identity, key, *beats)
	if err != nil {
		return nil, err
	}
	return &Enrolled{NodeID: identity.NodeId, Name: identity.Name, Health: health, Beats: *beats}, nil
}

// firstContact fetches what to trust. Nothing verifies this one connection: the answer proves itself by the installation
// key, whose hash is the last part of the token. The token's secret does not travel here.
func firstContact(ctx context.Context, control, token string) (*fabricv1.TrustBundle, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 5 || parts[0] != "weft1" {
		return nil, errors.New("this is no join token")
	}
	slug := parts[1]
	pinned, err := base64.RawURLEncoding.DecodeString(parts[4])
	if err != nil {
		return nil, err
	}
	unverified := &tls.Config{ServerName: joinName(slug), MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
	conn, err := connect(control, unverified)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := enrollmentv1.NewEnrollmentServiceClient(conn).
		GetTrustBundle(ctx, &enrollmentv1.GetTrustBundleRequest{ClusterSlug: slug})
	if err != nil {
		return nil, err
	}
	if hash := sha256.Sum256(answer.InstallationPublicKey); !bytes.Equal(hash[:], pinned) {
		return nil, errors.New("another installation answered")
	}
	parsed, err := x509.ParsePKIXPublicKey(answer.InstallationPublicKey)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(key, append([]byte("weft/trust-bundle/v1\x00"), answer.Bundle...), answer.Signature) {
		return nil, errors.New("the trust bundle is not signed by the installation")
	}
	bundle := &fabricv1.TrustBundle{}
	if err := proto.Unmarshal(answer.Bundle, bundle); err != nil {
		return nil, err
	}
	if bundle.ClusterSlug != slug {
		return nil, errors.New("control answered for another cluster")
	}
	return bundle, nil
}

func joinName(slug string) string { return "join." + slug + ".weft.internal" }

// enroll asks under the token and waits for an operator: "weft request approve REQUEST --fingerprint FINGERPRINT".
func enroll(
	ctx context.Context, control string, roots *x509.CertPool, slug, token, name string, key *ecdsa.PrivateKey,
) (*enrollmentv1.IssuedIdentity, error) {
	conn, err := dial(control, joinName(slug), roots)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	service := enrollmentv1.NewEnrollmentServiceClient(conn)
	// A request carries a key and nothing else: names and dates are for control to choose.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	asked, err := service.Enroll(ctx, &enrollmentv1.EnrollRequest{
		Token:          token,
		Csr:            csr,
		NodeName:       name,
		Capabilities:   []fabricv1.NodeCapability{fabricv1.NodeCapability_NODE_CAPABILITY_CAN_EGRESS_PRIVATE_NETWORK},
		RequestedRoles: []*fabricv1.RoleGrant{{Role: fabricv1.NodeRole_NODE_ROLE_EGRESS}},
		DialOutOnly:    true,
		Facts:          map[string]string{"language": "go"},
	})
	if err != nil {
		return nil, err
	}
	tell(map[string]any{"request_id": asked.RequestId, "fingerprint": asked.KeyFingerprint})
	for {
		answer, err := poll(ctx, service, asked.RequestId, key)
		if err != nil {
			return nil, err
		}
		switch answer.State {
		case enrollmentv1.RequestState_REQUEST_STATE_APPROVED:
			return answer.Identity, nil
		case enrollmentv1.RequestState_REQUEST_STATE_PENDING:
		default:
			return nil, fmt.Errorf("the request is over: %s %s", answer.State, answer.Reason)
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("nobody decided in time")
		case <-time.After(time.Duration(answer.PollAfterMs) * time.Millisecond):
		}
	}
}

// poll asks what became of the request, signed by its key: ECDSA in the fixed-length form (IEEE P1363), not in ASN.1.
func poll(
	ctx context.Context, service enrollmentv1.EnrollmentServiceClient, requestID string, key *ecdsa.PrivateKey,
) (*enrollmentv1.PollEnrollmentResponse, error) {
	now := time.Now().UnixMilli()
	digest := sha256.Sum256(fmt.Appendf(nil, "weft/poll/v1\x00%s\x00%d", requestID, now))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	request := &enrollmentv1.PollEnrollmentRequest{RequestId: requestID, IssuedAtMs: now, Signature: signature}
	return service.PollEnrollment(ctx, request)
}

// beat tells control, as the node, that it is there; control says when to come again.
func beat(
	ctx context.Context, control string, roots *x509.CertPool, identity *enrollmentv1.IssuedIdentity, key *ecdsa.PrivateKey,
	count int,
) (string, error) {
	leaf := tls.Certificate{Certificate: [][]byte{identity.CertificateDer}, PrivateKey: key}
	conn, err := dial(control, identity.ControlName, roots, leaf)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	boot := make([]byte, 16)
	_, _ = rand.Read(boot)
	service := heartbeatv1.NewHeartbeatServiceClient(conn)
	health := ""
	for seq := range count {
		answer, err := service.Beat(ctx, &heartbeatv1.BeatRequest{
			BootId:       hex.EncodeToString(boot),
			Seq:          uint64(seq) + 1,
			SentAtMs:     time.Now().UnixMilli(),
			Capabilities: []fabricv1.NodeCapability{fabricv1.NodeCapability_NODE_CAPABILITY_CAN_EGRESS_PRIVATE_NETWORK},
			Version:      "example",
		})
		if err != nil {
			return "", err
		}
		health = answer.Health.String()
		tell(map[string]any{"beat": seq + 1, "health": health, "next_beat_ms": answer.NextBeatMs})
	}
	return health, nil
}
