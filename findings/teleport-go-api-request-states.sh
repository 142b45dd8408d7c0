#!/usr/bin/env bash
# Teleport's Go API module: what its access request object checks by itself.
#
# Version: github.com/gravitational/teleport/api v0.0.0-20220930232149-2fa94542d677
# Guessed: an id that is no UUID is refused; roles are kept as given; a state is parsed in any case; DENIED after APPROVED is refused
#          like APPROVED after DENIED; a review must propose APPROVED or DENIED.
# Seen:    any text is an id; roles named twice are kept once; only capitals are parsed; an approved request can be denied, a
#          denied one can never be approved; a review that proposes PENDING passes the check.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/gravitational/teleport/api/types"
)

func main() {
	request, err := types.NewAccessRequest("not-a-uuid", "alice", "dba", "dba")
	if err != nil {
		panic(err)
	}
	fmt.Println("roles:", request.GetRoles())
	for _, text := range []string{"APPROVED", "approved"} {
		var state types.RequestState
		fmt.Println("parse", text+":", state.Parse(text))
	}
	fmt.Println("pending to approved:", request.SetState(types.RequestState_APPROVED))
	fmt.Println("approved to denied:", request.SetState(types.RequestState_DENIED))
	fmt.Println("denied to approved:", request.SetState(types.RequestState_APPROVED))
	review := types.AccessReview{Author: "bob", ProposedState: types.RequestState_PENDING}
	fmt.Println("review that proposes PENDING:", review.Check())
}
GO
cat >expected <<'TEXT'
roles: [dba]
parse APPROVED: <nil>
parse approved: unknown request state: "approved"
pending to approved: <nil>
approved to denied: <nil>
denied to approved: cannot set request-state "APPROVED" (already denied)
review that proposes PENDING: <nil>
TEXT
go mod init example.com/finding >/dev/null 2>&1
go get github.com/gravitational/teleport/api@v0.0.0-20220930232149-2fa94542d677 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . >seen
diff expected seen
cat seen
