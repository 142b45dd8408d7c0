import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.slack.api.Slack;
import com.slack.api.SlackConfig;
import com.slack.api.methods.MethodsClient;
import com.slack.api.methods.SlackApiTextResponse;
import com.slack.api.model.ConversationType;
import com.slack.api.model.Message;
import com.slack.api.model.view.View;
import com.slack.api.util.json.GsonFactory;
import com.slack.api.webhook.WebhookResponse;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Slack's Java SDK checks the simulator's Web API and every message that can be rendered. */
public final class Conformance {
    private static final JsonObject SIM = JsonParser.parseString(System.getenv("SIM")).getAsJsonObject();

    private interface Look {
        void at() throws Exception;
    }

    private static void check(String name, Look look) {
        try {
            look.at();
            System.out.println("ok - " + name);
        } catch (Exception | AssertionError error) {
            error.printStackTrace();
            System.out.println("FAILED - " + name + ": " + String.valueOf(error.getMessage()).lines().findFirst().orElse(""));
        }
    }

    private static void same(Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError("found " + found + ", expected " + expected);
        }
    }

    private static <T extends SlackApiTextResponse> T fine(T answer) {
        if (!answer.isOk()) {
            throw new AssertionError("refused: " + answer.getError());
        }
        return answer;
    }

    private static JsonObject control(String path, Map<String, ?> body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(SIM.get("control_url").getAsString() + path))
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(new Gson().toJson(body)))
                .build();
        String answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
        return JsonParser.parseString(answer).getAsJsonObject();
    }

    private static final String BLOCKS = "[{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"asks\"}},"
            + "{\"type\":\"actions\",\"block_id\":\"decide\",\"elements\":[{\"type\":\"button\",\"action_id\":\"approve\","
            + "\"value\":\"req-1\",\"text\":{\"type\":\"plain_text\",\"text\":\"Approve\"}}]}]";

    private static void webApi(Slack slack) {
        MethodsClient api = slack.methods(SIM.get("token").getAsString());
        check("auth.test knows the bot, and with the app token the app", () -> {
            same(fine(api.authTest(r -> r)).getUserId(), "U0BOT");
            fine(slack.methods(SIM.get("app_token").getAsString()).authTest(r -> r));
        });
        check("a message with metadata is posted, answered, edited, read and deleted", () -> {
            Message.Metadata metadata = new Message.Metadata();
            metadata.setEventType("access_request");
            metadata.setEventPayload(Map.of("id", "req-1"));
            String ts = fine(api.chatPostMessage(r ->
                    r.channel("C0REQUESTS").text("asks").blocksAsString(BLOCKS).metadata(metadata))).getTs();
            String reply = fine(api.chatPostMessage(r -> r.channel("C0REQUESTS").threadTs(ts).text("thanks"))).getTs();
            fine(api.chatUpdate(r -> r.channel("C0REQUESTS").ts(ts).text("decided")));
            Message found = fine(api.conversationsHistory(r ->
                    r.channel("C0REQUESTS").includeAllMetadata(true).limit(10))).getMessages().get(0);
            same(found.getTs() + found.getText(), ts + "decided");
            same(found.getMetadata().getEventPayload().get("id"), "req-1");
            fine(api.conversationsReplies(r -> r.channel("C0REQUESTS").ts(ts)));
            fine(api.chatPostEphemeral(r -> r.channel("C0REQUESTS").user("U0BOB").text("only you")));
            fine(api.chatGetPermalink(r -> r.channel("C0REQUESTS").messageTs(ts)));
            fine(api.chatDelete(r -> r.channel("C0REQUESTS").ts(reply)));
        });
        check("people, channels and groups are found", () -> {
            same(fine(api.usersLookupByEmail(r -> r.email("bob@example.com"))).getUser().getId(), "U0BOB");
            same(fine(api.usersInfo(r -> r.user("U0GIL"))).getUser().isRestricted(), true);
            same(fine(api.conversationsOpen(r -> r.users(List.of("U0BOB")))).getChannel().getId(), "D0BOB");
            fine(api.conversationsInfo(r -> r.channel("C0DBA")));
            fine(api.conversationsList(r ->
                    r.types(List.of(ConversationType.PUBLIC_CHANNEL, ConversationType.PRIVATE_CHANNEL)).limit(2)));
            same(fine(api.usergroupsUsersList(r -> r.usergroup("S0DBA"))).getUsers(), List.of("U0BOB", "U0CAROL"));
        });
        check("refusals arrive with their code", () -> {
            same(api.chatPostMessage(r -> r.channel("C0NONE").text("x")).getError(), "channel_not_found");
            same(api.usersLookupByEmail(r -> r.email("nobody@example.com")).getError(), "users_not_found");
        });
        check("a socket's address is handed out", () -> {
            MethodsClient app = slack.methods(SIM.get("app_token").getAsString());
            same(fine(app.appsConnectionsOpen(r -> r)).getUrl().startsWith("ws://"), true);
        });
        check("a click's message is answered, replaced and deleted by response_url", () -> {
            ArrayBlockingQueue<String> heard = new ArrayBlockingQueue<>(1);
            HttpServer app = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
            app.createContext("/", exchange -> {
                heard.add(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
                exchange.sendResponseHeaders(200, -1);
                exchange.close();
            });
            app.start();
            try {
                control("/app", Map.of("request_url", "http://127.0.0.1:" + app.getAddress().getPort() + "/"));
                String ts = fine(api.chatPostMessage(r -> r.channel("C0REQUESTS").text("asks").blocksAsString(BLOCKS))).getTs();
                Map<String, String> press = Map.of("user", "U0BOB", "channel", "C0REQUESTS", "ts", ts, "action_id", "approve");
                same(control("/click", press).get("acknowledged").getAsBoolean(), true);
                String body = heard.poll(20, TimeUnit.SECONDS);
                String payload = URLDecoder.decode(body.substring("payload=".length()), StandardCharsets.UTF_8);
                String hook = JsonParser.parseString(payload).getAsJsonObject().get("response_url").getAsString();
                // ActionResponse is in a part of the SDK that needs a web framework; these are its fields, of which
                // the two booleans are always sent.
                for (Map<String, Object> answer : List.<Map<String, Object>>of(
                        Map.of("text", "told", "replace_original", false, "delete_original", false),
                        Map.of("text", "done", "replace_original", true, "delete_original", false),
                        Map.of("replace_original", false, "delete_original", true))) {
                    WebhookResponse response = slack.send(hook, new Gson().toJson(answer));
                    same(response.getCode(), 200);
                }
            } finally {
                app.stop(0);
            }
        });
    }

    /** Without false, null and empty values, which say nothing. */
    private static JsonElement plain(JsonElement value) {
        if (value.isJsonObject()) {
            JsonObject kept = new JsonObject();
            for (Map.Entry<String, JsonElement> field : value.getAsJsonObject().entrySet()) {
                JsonElement inner = plain(field.getValue());
                if (inner != null) {
                    kept.add(field.getKey(), inner);
                }
            }
            return kept.isEmpty() ? null : kept;
        }
        if (value.isJsonArray()) {
            JsonArray kept = new JsonArray();
            value.getAsJsonArray().forEach(item -> kept.add(plain(item)));
            return kept.isEmpty() ? null : kept;
        }
        if (value.isJsonNull() || value.getAsString().isEmpty() || value.getAsString().equals("false")) {
            return null;
        }
        return value;
    }

    private static void roundTrip(Gson gson, JsonElement content, Class<?> model) {
        JsonElement again = gson.toJsonTree(gson.fromJson(content, model));
        same(plain(again), plain(content));
    }

    private static void messages() throws Exception {
        SlackConfig strict = new SlackConfig();
        strict.setFailOnUnknownProperties(true);
        Gson gson = GsonFactory.createSnakeCase(strict);
        TreeMap<String, Integer> counts = new TreeMap<>();
        TreeMap<String, Throwable> faults = new TreeMap<>();
        Process printer = new ProcessBuilder(Path.of(System.getenv("PROGRAMS"), "messages").toString()).start();
        try (BufferedReader lines = new BufferedReader(
                new InputStreamReader(printer.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonObject one = JsonParser.parseString(line).getAsJsonObject();
                String kind = one.get("kind").getAsString();
                Class<?> model = Map.of("message", Message.class, "view", View.class).get(kind);
                if (model == null) {
                    continue;
                }
                counts.merge(kind, 1, Integer::sum);
                try {
                    roundTrip(gson, one.get("content"), model);
                } catch (RuntimeException | AssertionError error) {
                    faults.putIfAbsent(kind, new AssertionError(one.get("name").getAsString() + ": " + error.getMessage(), error));
                }
            }
        }
        for (String kind : List.of("message", "view")) {
            check(counts.get(kind) + " of kind " + kind + " mean the same to the Java SDK", () -> {
                same(counts.containsKey(kind), true);
                if (faults.containsKey(kind)) {
                    throw new AssertionError(faults.get(kind).getMessage(), faults.get(kind));
                }
            });
        }
        check("the Java SDK finds what is wrong", () -> {
            for (String wrong : List.of(
                    "{\"text\":\"x\",\"blocks\":[{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"x\",\"tint\":\"red\"}}]}",
                    "{\"text\":\"x\",\"blocks\":[{\"type\":\"marquee\"}]}")) {
                try {
                    roundTrip(gson, JsonParser.parseString(wrong), Message.class);
                } catch (RuntimeException | AssertionError expected) {
                    continue;
                }
                throw new AssertionError("taken: " + wrong);
            }
        });
    }

    public static void main(String[] arguments) throws Exception {
        SlackConfig config = new SlackConfig();
        config.setMethodsEndpointUrlPrefix(SIM.get("api_url").getAsString());
        try (Slack slack = Slack.getInstance(config)) {
            webApi(slack);
        }
        messages();
        System.out.println("done");
        System.exit(0);
    }
}
