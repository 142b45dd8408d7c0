package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// resourceLine is what the example "resources" prints: YAML, and the data that it must say.
type resourceLine struct {
	YAML    string   `json:"yaml"`
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Rules   any      `json:"rules"`
	Users   []string `json:"submit_for_users"`
	Text    string   `json:"text"`
}

// resources reads the YAML for tctl and tbot with the package that Go programs for Kubernetes read theirs with.
func resources() {
	out, err := exec.Command(filepath.Join(os.Getenv("PROGRAMS"), "resources")).Output()
	if err != nil {
		check("resources are printed", func() error { return err })
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	faults := map[string]error{}
	count := map[string]int{}
	for lines.Scan() {
		var line resourceLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			faults[line.Version] = err
			continue
		}
		count[line.Version]++
		if err := line.compare(); err != nil && faults[line.Version] == nil {
			faults[line.Version] = err
		}
	}
	for _, version := range []string{"v3", "v4", "v7", "tbot", "tbot by a proxy"} {
		name := fmt.Sprintf("the YAML of %d resources says what it should: %s", count[version], version)
		check(name, func() error {
			if count[version] == 0 {
				return fmt.Errorf("there is none")
			}
			return faults[version]
		})
	}
}

func (line resourceLine) compare() error {
	if strings.HasPrefix(line.Version, "tbot") {
		server := "proxy_server"
		onboarding := map[string]any{"join_method": "token", "token": "..."}
		if line.Version == "tbot" {
			// An auth server has no certificate that the machine trusts, so it is known by its pin.
			server = "auth_server"
			onboarding["ca_pins"] = []any{"..."}
		}
		return line.says(line.YAML, map[string]any{
			"version":          "v2",
			server:             line.Text,
			"onboarding":       onboarding,
			"storage":          map[string]any{"type": "directory", "path": "/var/lib/teleport/bot"},
			"renewal_interval": "20m",
			"outputs": []any{map[string]any{
				"type":        "identity",
				"roles":       []any{line.Name},
				"destination": map[string]any{"type": "directory", "path": line.Text},
			}},
		})
	}
	role, user, found := strings.Cut(line.YAML, "---\n")
	if !found {
		return fmt.Errorf("there is one document only")
	}
	allow := map[string]any{"rules": line.Rules}
	if len(line.Users) > 0 {
		users := []any{}
		for _, name := range line.Users {
			users = append(users, name)
		}
		allow["review_requests"] = map[string]any{"submit_for_users": users}
	}
	spec := map[string]any{"allow": allow}
	if line.Version != "v7" {
		allow["logins"] = []any{line.Name + "-not-used"}
	}
	if line.Version == "v3" {
		all := map[string]any{"*": "*"}
		spec["deny"] = map[string]any{"node_labels": all, "app_labels": all, "kubernetes_labels": all, "db_labels": all}
	}
	metadata := map[string]any{"name": line.Name}
	wanted := map[string]any{"kind": "role", "version": line.Version, "metadata": metadata, "spec": spec}
	if err := line.says(role, wanted); err != nil {
		return err
	}
	return line.says(user, map[string]any{
		"kind": "user", "version": "v2", "metadata": metadata,
		"spec": map[string]any{"roles": []any{line.Name}},
	})
}

func (line resourceLine) says(text string, wanted map[string]any) error {
	var found map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &found); err != nil {
		return err
	}
	return same(found, wanted)
}
