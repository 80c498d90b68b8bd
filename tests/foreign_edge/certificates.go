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
	edgeName  = "quic.cftunnel.com"
	probeName = "probe.cftunnel.com" // clients check with it whether UDP passes: a handshake, and nothing after it
	protocol  = "argotunnel"
)

// newTLS makes an authority and what it vouches for: the edge's settings, and the authority's certificate as PEM.
func newTLS() (*tls.Config, []byte, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreign edge: authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	authorityBytes, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return nil, nil, err
	}
	if authority, err = x509.ParseCertificate(authorityBytes); err != nil { // with the key's id, for the leaf to name
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: edgeName}, DNSNames: []string{edgeName, probeName},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	leafBytes, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	if err != nil {
		return nil, nil, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{leafBytes, authorityBytes}, PrivateKey: key}
	settings := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !slices.Contains(leaf.DNSNames, hello.ServerName) {
				return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
			}
			return &certificate, nil
		},
	}
	return settings, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityBytes}), nil
}
