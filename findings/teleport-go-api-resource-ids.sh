#!/usr/bin/env bash
# Teleport's Go API module: the IDs of requested resources as text, and plugin data that were emptied.
#
# Version: github.com/gravitational/teleport/api v0.0.0-20220930232149-2fa94542d677
# Guessed:  a resource's name that holds a slash is refused; an empty text is an error, unlike an empty list; a plugin's data without any
#           key left stay as an empty entry.
# Seen:     all after the third slash is the name, so names hold slashes; the writer checks nothing, so a cluster with a slash is written,
#           and read back as another kind, which is refused. An empty text, `[]` and `null` are all no resources. Data whose last key
#           is set to "" vanish with their entry, so "cleared" and "never written" look the same; expecting "" fits both.
#           So split an ID at the first three slashes only, and mark finished work by a value, never by removing the keys.
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

func show(text string) {
	id, err := types.ResourceIDFromString(text)
	if err != nil {
		fmt.Printf("%s: %v\n", text, err)
		return
	}
	fmt.Printf("%s: cluster %q, kind %q, name %q\n", text, id.ClusterName, id.Kind, id.Name)
}

func main() {
	show("/example.com/node/web-1")
	show("/example.com/app/tools/grafana")
	show(types.ResourceIDToString(types.ResourceID{ClusterName: "example.com/eu", Kind: "node", Name: "web-1"}))
	for _, text := range []string{"", "[]", "null"} {
		ids, err := types.ResourceIDsFromString(text)
		fmt.Printf("list %q: %d, %v\n", text, len(ids), err)
	}

	data, err := types.NewPluginData("request", types.KindAccessRequest)
	if err != nil {
		panic(err)
	}
	update := func(expect, set map[string]string) {
		err := data.Update(types.PluginDataUpdateParams{
			Kind: types.KindAccessRequest, Resource: "request", Plugin: "slack", Expect: expect, Set: set,
		})
		fmt.Printf("expect %v, set %v: %v, entries %d\n", expect, set, err, len(data.Entries()))
	}
	update(map[string]string{"ts": ""}, map[string]string{"ts": "1.2"})
	update(map[string]string{"ts": "1.2"}, map[string]string{"ts": ""})
	update(map[string]string{"ts": ""}, map[string]string{"ts": "3.4"})
}
GO
cat >expected <<'TEXT'
/example.com/node/web-1: cluster "example.com", kind "node", name "web-1"
/example.com/app/tools/grafana: cluster "example.com", kind "app", name "tools/grafana"
/example.com/eu/node/web-1: Resource kind "eu" is invalid or unsupported
list "": 0, <nil>
list "[]": 0, <nil>
list "null": 0, <nil>
expect map[ts:], set map[ts:1.2]: <nil>, entries 1
expect map[ts:1.2], set map[ts:]: <nil>, entries 0
expect map[ts:], set map[ts:3.4]: <nil>, entries 1
TEXT
go mod init example.com/finding >/dev/null 2>&1
go get github.com/gravitational/teleport/api@v0.0.0-20220930232149-2fa94542d677 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . >seen
diff expected seen
cat seen
