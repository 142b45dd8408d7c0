#!/usr/bin/env bash
# Teleport's Go API module: how it reads an identity file (`tctl auth sign --format=file`, `tbot`).
#
# Version: github.com/gravitational/teleport/api v0.0.0-20220930232149-2fa94542d677
# Guessed:  each PEM block goes where its type belongs; a second private key, a block of an unknown type, an encrypted key and free
#           text between the blocks are errors; a file without an SSH certificate is read, since only TLS needs the rest.
# Seen:     only the order counts: the first block is the key, the second the client certificate, all others are authorities, whatever
#           type they name. Free text is skipped, an encrypted key is taken as it is, a file without an SSH certificate is refused.
#           A byte order mark hides the first block, so each later block moves up by one: the certificate becomes the key.
#           A reader that goes by the types takes files that Go cannot use, and can say more about those that it refuses.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
openssl genrsa -traditional -out key.pem 2048 2>/dev/null
openssl pkcs8 -topk8 -in key.pem -passout pass:test -out locked.pem
openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out ca.pem -subj /CN=authority -days 1 2>/dev/null
openssl req -x509 -key key.pem -out user.pem -subj /CN=user -days 1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/gravitational/teleport/api/identityfile"
)

func file(name string) string {
	bytes, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(bytes)
}

func blocks(parts ...[]byte) (found []string) {
	for _, part := range parts {
		for block, rest := pem.Decode(part); block != nil; block, rest = pem.Decode(rest) {
			text := block.Type
			if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
				text = certificate.Subject.CommonName
			}
			found = append(found, text)
		}
	}
	return found
}

func show(name, text string) {
	identity, err := identityfile.FromString(text)
	if err != nil {
		fmt.Printf("%s: %v\n", name, err)
		return
	}
	fmt.Printf("%s: key %q, client %q, authorities %q\n", name, blocks(identity.PrivateKey), blocks(identity.Certs.TLS), blocks(identity.CACerts.TLS...))
}

func main() {
	key, user, ca := file("key.pem"), file("user.pem"), file("ca.pem")
	ssh := "ssh-rsa-cert-v01@openssh.com AAAA user\n"
	show("as written", key+ssh+user+ca)
	show("text between", key+"a note\n"+ssh+user+ca)
	show("two keys", key+key+ssh+user+ca)
	show("authority first", ca+user+ssh+key)
	show("another type", key+ssh+user+ca+"-----BEGIN NOTE-----\nAAAA\n-----END NOTE-----\n")
	show("locked key", file("locked.pem")+ssh+user+ca)
	show("byte order mark", "\ufeff"+key+ssh+user+ca)
	show("no SSH certificate", key+user+ca)
}
GO
cat >expected <<'TEXT'
as written: key ["RSA PRIVATE KEY"], client ["user"], authorities ["authority"]
text between: key ["RSA PRIVATE KEY"], client ["user"], authorities ["authority"]
two keys: key ["RSA PRIVATE KEY"], client ["RSA PRIVATE KEY"], authorities ["user" "authority"]
authority first: key ["authority"], client ["user"], authorities ["RSA PRIVATE KEY"]
another type: key ["RSA PRIVATE KEY"], client ["user"], authorities ["authority" "NOTE"]
locked key: key ["ENCRYPTED PRIVATE KEY"], client ["user"], authorities ["authority"]
byte order mark: key ["user"], client ["authority"], authorities []
no SSH certificate: could not find SSH cert in the identity file
TEXT
go mod init example.com/finding >/dev/null 2>&1
go get github.com/gravitational/teleport/api@v0.0.0-20220930232149-2fa94542d677 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . >seen
diff expected seen
cat seen
