// Slack's community Go SDK, slack-go, checks the simulator's Web API and every message that can be rendered.
// Arguments: none; reads SIM and PROGRAMS as the other programs do.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/slack-go/slack"
)

type simulator struct {
	APIURL        string `json:"api_url"`
	ControlURL    string `json:"control_url"`
	Token         string `json:"token"`
	AppToken      string `json:"app_token"`
	SigningSecret string `json:"signing_secret"`
}

var sim simulator

// check says how one thing went.
func check(name string, look func() error) {
	defer func() {
		if fault := recover(); fault != nil {
			fmt.Printf("FAILED - %s: %v\n", name, fault)
		}
	}()
	if err := look(); err != nil {
		fmt.Printf("FAILED - %s: %s\n", name, strings.SplitN(err.Error(), "\n", 2)[0])
		return
	}
	fmt.Printf("ok - %s\n", name)
}

func same(found, expected any) error {
	if !reflect.DeepEqual(found, expected) {
		return fmt.Errorf("found %v, expected %v", found, expected)
	}
	return nil
}

// control asks the simulator's control interface.
func control(path string, body any, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	response, err := http.Post(sim.ControlURL+path, "application/json", bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(answer)
}

func sampleBlocks() []slack.Block {
	text := slack.NewTextBlockObject("mrkdwn", "*alice* asks for `dba`", false, false)
	plain := func(text string) *slack.TextBlockObject {
		return slack.NewTextBlockObject("plain_text", text, false, false)
	}
	approve := slack.NewButtonBlockElement("approve", "req-1", plain("Approve"))
	deny := slack.NewButtonBlockElement("deny", "req-1", plain("Deny"))
	deny.Confirm = slack.NewConfirmationBlockObject(plain("Sure?"), plain("It is final."), plain("Deny"), plain("Back"))
	return []slack.Block{slack.NewSectionBlock(text, nil, nil), slack.NewActionBlock("decide", approve, deny)}
}

func webAPI() {
	api := slack.New(sim.Token, slack.OptionAPIURL(sim.APIURL))
	check("auth.test knows the bot, and with the app token the app", func() error {
		me, err := api.AuthTest()
		if err != nil {
			return err
		}
		if err := same([]string{me.UserID, me.TeamID, me.BotID}, []string{"U0BOT", "T0DEMO", "B0BOT"}); err != nil {
			return err
		}
		_, err = slack.New(sim.AppToken, slack.OptionAPIURL(sim.APIURL)).AuthTest()
		return err
	})
	check("a message with metadata is posted, answered, edited, read and deleted", func() error {
		metadata := slack.SlackMetadata{EventType: "access_request", EventPayload: map[string]any{"id": "req-1"}}
		channel, ts, err := api.PostMessage("C0REQUESTS", slack.MsgOptionText("asks", false),
			slack.MsgOptionBlocks(sampleBlocks()...), slack.MsgOptionMetadata(metadata))
		if err != nil {
			return fmt.Errorf("post: %w", err)
		}
		_, reply, err := api.PostMessage(channel, slack.MsgOptionText("thanks", false), slack.MsgOptionTS(ts),
			slack.MsgOptionAttachments(slack.Attachment{Text: "more"}))
		if err != nil {
			return fmt.Errorf("reply: %w", err)
		}
		if _, _, _, err = api.UpdateMessage(channel, ts, slack.MsgOptionText("decided", false)); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		history, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{
			ChannelID: channel, IncludeAllMetadata: true, Limit: 10})
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		found := history.Messages[0]
		if err := same(found.Metadata.EventPayload["id"], any("req-1")); err != nil {
			return err
		}
		if err := same([]string{found.Timestamp, found.Text}, []string{ts, "decided"}); err != nil {
			return err
		}
		if _, err := api.PostEphemeral(channel, "U0BOB", slack.MsgOptionText("only you", false)); err != nil {
			return fmt.Errorf("ephemeral: %w", err)
		}
		if _, err := api.GetPermalink(&slack.PermalinkParameters{Channel: channel, Ts: ts}); err != nil {
			return fmt.Errorf("permalink: %w", err)
		}
		_, _, err = api.DeleteMessage(channel, reply)
		return err
	})
	check("people, channels and groups are found", func() error {
		bob, err := api.GetUserByEmail("bob@example.com")
		if err != nil {
			return err
		}
		if err := same(bob.ID, "U0BOB"); err != nil {
			return err
		}
		if _, err := api.GetUserInfo("U0GIL"); err != nil {
			return err
		}
		direct, _, _, err := api.OpenConversation(&slack.OpenConversationParameters{Users: []string{"U0BOB"}})
		if err != nil {
			return err
		}
		if err := same(direct.ID, "D0BOB"); err != nil {
			return err
		}
		if _, err := api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: "C0DBA"}); err != nil {
			return err
		}
		if _, _, err := api.GetConversations(&slack.GetConversationsParameters{
			Types: []string{"public_channel", "private_channel"}, Limit: 2}); err != nil {
			return err
		}
		members, err := api.GetUserGroupMembers("S0DBA")
		if err != nil {
			return err
		}
		return same(members, []string{"U0BOB", "U0CAROL"})
	})
	check("refusals arrive with their code", func() error {
		_, _, err := api.PostMessage("C0NONE", slack.MsgOptionText("x", false))
		if err := same(fmt.Sprint(err), "channel_not_found"); err != nil {
			return err
		}
		_, err = api.GetUserByEmail("nobody@example.com")
		return same(fmt.Sprint(err), "users_not_found")
	})
	check("a socket's address is handed out", func() error {
		app := slack.New(sim.Token, slack.OptionAppLevelToken(sim.AppToken), slack.OptionAPIURL(sim.APIURL))
		_, url, err := app.StartSocketModeContext(context.Background())
		if err != nil {
			return err
		}
		if !strings.HasPrefix(url, "ws://") {
			return fmt.Errorf("an address %q", url)
		}
		return nil
	})
	check("a click is answered, its message replaced and deleted by response_url", func() error {
		heard := make(chan slack.InteractionCallback, 1)
		app := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
			body, _ := io.ReadAll(request.Body)
			callback, err := verified(request.Header, body)
			if err != nil {
				out.WriteHeader(http.StatusUnauthorized)
				return
			}
			heard <- callback
		}))
		defer app.Close()
		var nothing any
		if err := control("/app", map[string]any{"request_url": app.URL}, &nothing); err != nil {
			return err
		}
		_, ts, err := api.PostMessage("C0REQUESTS", slack.MsgOptionText("asks", false), slack.MsgOptionBlocks(sampleBlocks()...))
		if err != nil {
			return err
		}
		press := map[string]any{"user": "U0BOB", "channel": "C0REQUESTS", "ts": ts, "action_id": "approve"}
		var seen struct{ Acknowledged bool }
		if err := control("/click", press, &seen); err != nil {
			return err
		}
		if err := same(seen.Acknowledged, true); err != nil {
			return err
		}
		press["forgery"] = "wrong_secret"
		if err := control("/click", press, &seen); err != nil {
			return err
		}
		if err := same(seen.Acknowledged, false); err != nil {
			return fmt.Errorf("forged: %w", err)
		}
		callback := <-heard
		action := callback.ActionCallback.BlockActions[0]
		found := []string{callback.User.ID, callback.Container.MessageTs, action.ActionID, action.Value}
		if err := same(found, []string{"U0BOB", ts, "approve", "req-1"}); err != nil {
			return err
		}
		hook := callback.ResponseURL
		if _, _, err := api.PostMessage("C0REQUESTS", slack.MsgOptionText("done", false),
			slack.MsgOptionReplaceOriginal(hook)); err != nil {
			return fmt.Errorf("replace: %w", err)
		}
		if _, _, err := api.PostMessage("C0REQUESTS", slack.MsgOptionText("told", false),
			slack.MsgOptionAttachments(slack.Attachment{Text: "more"}),
			slack.MsgOptionResponseURL(hook, slack.ResponseTypeEphemeral)); err != nil {
			return fmt.Errorf("respond: %w", err)
		}
		if err := slack.PostWebhook(hook, &slack.WebhookMessage{Text: "hooked"}); err != nil {
			return fmt.Errorf("webhook: %w", err)
		}
		if _, _, err := api.PostMessage("C0REQUESTS", slack.MsgOptionDeleteOriginal(hook)); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		return nil
	})
}

// verified is the interaction in a signed request.
func verified(header http.Header, body []byte) (callback slack.InteractionCallback, err error) {
	verifier, err := slack.NewSecretsVerifier(header, sim.SigningSecret)
	if err != nil {
		return callback, err
	}
	if _, err := verifier.Write(body); err != nil {
		return callback, err
	}
	if err := verifier.Ensure(); err != nil {
		return callback, err
	}
	fields, err := url.ParseQuery(string(body))
	if err != nil {
		return callback, err
	}
	return callback, json.Unmarshal([]byte(fields.Get("payload")), &callback)
}

// messages checks what can be rendered: slack-go understands every part and gives the same back.
func messages() {
	out, err := exec.Command(filepath.Join(os.Getenv("PROGRAMS"), "messages")).Output()
	if err != nil {
		check("messages are printed", func() error { return err })
		return
	}
	type line struct {
		Name    string          `json:"name"`
		Kind    string          `json:"kind"`
		Content json.RawMessage `json:"content"`
	}
	counts := map[string]int{}
	faults := map[string]error{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one line
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			faults["line"] = err
			continue
		}
		counts[one.Kind]++
		var err error
		switch one.Kind {
		case "message":
			err = roundTrip(one.Content, func(raw []byte) (any, error) {
				var message struct {
					Text   string       `json:"text"`
					Blocks slack.Blocks `json:"blocks"`
				}
				err := strict(raw, &message)
				if err == nil {
					err = known(message.Blocks)
				}
				return message, err
			})
		case "view":
			err = roundTrip(one.Content, func(raw []byte) (any, error) {
				var view slack.ModalViewRequest
				err := strict(raw, &view)
				if err == nil {
					err = known(view.Blocks)
				}
				return view, err
			})
		}
		if err != nil && faults[one.Kind] == nil {
			faults[one.Kind] = fmt.Errorf("%s: %w", one.Name, err)
		}
	}
	for _, kind := range []string{"message", "view"} {
		check(fmt.Sprintf("%d of kind %s mean the same to slack-go", counts[kind], kind), func() error {
			if counts[kind] == 0 {
				return errors.New("there is none")
			}
			return faults[kind]
		})
	}
	check("slack-go finds what is wrong", func() error {
		var blocks slack.Blocks
		if err := json.Unmarshal([]byte(`[{"type":"marquee"}]`), &blocks); err == nil && known(blocks) == nil {
			return errors.New("an unknown block is taken")
		}
		wrong := []byte(`{"text":"x","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"x","tint":"red"}}]}`)
		err := roundTrip(wrong, func(raw []byte) (any, error) {
			var message struct {
				Text   string       `json:"text"`
				Blocks slack.Blocks `json:"blocks"`
			}
			return message, json.Unmarshal(raw, &message)
		})
		if err == nil {
			return errors.New("an unknown field is kept")
		}
		return nil
	})
}

func strict(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// known refuses blocks that slack-go keeps without understanding them.
func known(blocks slack.Blocks) error {
	for _, block := range blocks.BlockSet {
		if _, unknown := block.(*slack.UnknownBlock); unknown {
			return fmt.Errorf("a block of unknown type %s", block.BlockType())
		}
	}
	return nil
}

// roundTrip parses, serializes and compares as JSON.
func roundTrip(raw []byte, parse func([]byte) (any, error)) error {
	parsed, err := parse(raw)
	if err != nil {
		return err
	}
	again, err := json.Marshal(parsed)
	if err != nil {
		return err
	}
	var before, after any
	if err := json.Unmarshal(raw, &before); err != nil {
		return err
	}
	if err := json.Unmarshal(again, &after); err != nil {
		return err
	}
	before, after = plain(before), plain(after)
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("given back changed: %s", again)
	}
	return nil
}

// plain leaves out what says nothing: false, null and empty values.
func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, inner := range value {
			if inner = plain(inner); inner != nil {
				kept[name] = inner
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		for i := range value {
			value[i] = plain(value[i])
		}
		if len(value) == 0 {
			return nil
		}
		return value
	case bool:
		if !value {
			return nil
		}
	case string:
		if value == "" {
			return nil
		}
	}
	return value
}

func main() {
	if err := json.Unmarshal([]byte(os.Getenv("SIM")), &sim); err != nil {
		fmt.Println("FAILED - SIM:", err)
		os.Exit(1)
	}
	webAPI()
	messages()
	resources()
	fmt.Println("done")
}
