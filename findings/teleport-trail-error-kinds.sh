#!/usr/bin/env bash
# Gravitational's trace library, package trail: which kinds of error survive a gRPC call between two Teleport parts.
#
# Version: github.com/gravitational/trace v1.1.19
# Guessed:  each kind of trace error is the same kind again at the other end, the text of a plain error is unchanged, and a second
#           call between them (auth server, proxy, client) changes nothing.
# Seen:     Trust, Retry and an aggregate arrive as code Unknown and are no trace error any more; OAuth2 arrives as a bad parameter;
#           a plain error's text gets "rpc error: code = Unknown desc = " put before it by each call.
#           So code Unknown says nothing about whether to try again: an error that asks for a retry arrives as Unknown too.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"

	"github.com/gravitational/trace"
	"github.com/gravitational/trace/trail"
	"google.golang.org/grpc/status"
)

func main() {
	cause := errors.New("cause")
	for _, kind := range []struct {
		name  string
		given error
		is    func(error) bool
	}{
		{"NotFound", trace.NotFound("m"), trace.IsNotFound},
		{"CompareFailed", trace.CompareFailed("m"), trace.IsCompareFailed},
		{"ConnectionProblem", trace.ConnectionProblem(cause, "m"), trace.IsConnectionProblem},
		{"Trust", trace.Trust(cause, "m"), trace.IsTrustError},
		{"Retry", trace.Retry(cause, "m"), trace.IsRetryError},
		{"OAuth2", trace.OAuth2("invalid_request", "m", nil), trace.IsOAuth2},
		{"aggregate", trace.NewAggregate(trace.NotFound("a"), trace.NotFound("b")), trace.IsAggregate},
		{"plain", errors.New("m"), func(err error) bool { return err.Error() == "m" }},
	} {
		first := trail.FromGRPC(trail.ToGRPC(kind.given))
		wire := trail.ToGRPC(first)
		second := trail.FromGRPC(wire)
		fmt.Printf("%s: kept after one call %v, after two %v, code %v, bad parameter %v, text %q\n",
			kind.name, kind.is(first), kind.is(second), status.Code(wire), trace.IsBadParameter(second), second.Error())
	}
}
GO
cat >expected <<'TEXT'
NotFound: kept after one call true, after two true, code NotFound, bad parameter false, text "m"
CompareFailed: kept after one call true, after two true, code FailedPrecondition, bad parameter false, text "m"
ConnectionProblem: kept after one call true, after two true, code Unavailable, bad parameter false, text "m"
Trust: kept after one call false, after two false, code Unknown, bad parameter false, text "rpc error: code = Unknown desc = rpc error: code = Unknown desc = m"
Retry: kept after one call false, after two false, code Unknown, bad parameter false, text "rpc error: code = Unknown desc = rpc error: code = Unknown desc = m"
OAuth2: kept after one call false, after two false, code InvalidArgument, bad parameter true, text "OAuth2 error code=invalid_request, message=m"
aggregate: kept after one call false, after two false, code Unknown, bad parameter false, text "rpc error: code = Unknown desc = rpc error: code = Unknown desc = a, b"
plain: kept after one call false, after two false, code Unknown, bad parameter false, text "rpc error: code = Unknown desc = rpc error: code = Unknown desc = m"
TEXT
go mod init example.com/finding >/dev/null 2>&1
go get github.com/gravitational/trace/trail@v1.1.19 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . >seen
diff expected seen
cat seen
