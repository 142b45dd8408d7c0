module conformance

go 1.26

require (
	github.com/slack-go/slack v0.35.0
	sigs.k8s.io/yaml v1.6.0
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	go.yaml.in/yaml/v2 v2.4.2 // indirect
)
