package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const (
	quicName  = "quic.cftunnel.com"
	h2Name    = "h2.cftunnel.com"
	probeName = "probe.cftunnel.com" // clients check with it what passes: a handshake, and nothing after it
	alpn      = "argotunnel"         // over QUIC; over TCP nothing is negotiated
)

// authority vouches for the edge.
type authority struct {
	pem  []byte // its certificate
	leaf tls.Certificate
}

func newAuthority() (*authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreign edge: authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	rootBytes, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	if root, err = x509.ParseCertificate(rootBytes); err != nil { // with the key's id, for the leaf to name
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	names := []string{quicName, h2Name, probeName}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: quicName}, DNSNames: names,
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	leafBytes, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	return &authority{
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootBytes}),
		leaf: tls.Certificate{Certificate: [][]byte{leafBytes, rootBytes}, PrivateKey: key},
	}, nil
}

func (a *authority) quicSettings() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, GetCertificate: a.forNames(quicName, probeName),
	}
}

func (a *authority) tcpSettings() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.forNames(h2Name, probeName)}
}

func (a *authority) forNames(names ...string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if !slices.Contains(names, hello.ServerName) {
			return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
		}
		return &a.leaf, nil
	}
}
