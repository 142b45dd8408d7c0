#!/usr/bin/env bash
# Slack's Java SDK: when its asynchronous client really sends, while Slack has limited nothing.
#
# Version: com.slack.api:slack-api-client 1.51.0 (Maven Central)
# Guessed:  60 messages to a channel go out at once, then one a second; 40 users.info (Tier 4, 100 a minute) are not held at all;
#           views.open, asked for a second after 40 messages, goes out at once, since limits are kept for each method.
# Seen:     it paces before any 429, some six messages each three seconds, and 40 users.info take ten seconds and more. All methods of
#           one client wait in one queue: views.open goes out after many of the messages, more than ten seconds late.
#           So a trigger of three seconds expires while messages are sent: open modals with the synchronous client, which does not wait.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.slack.api</groupId>
      <artifactId>slack-api-client</artifactId>
      <version>1.51.0</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -B -q dependency:copy-dependencies -DoutputDirectory=lib >/dev/null
cat >Run.java <<'JAVA'
import com.slack.api.Slack;
import com.slack.api.SlackConfig;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;

public class Run {
    static final ConcurrentHashMap<String, Long> last = new ConcurrentHashMap<>();

    static double seconds(String method, long since) {
        return (last.get("/api/" + method) - since) / 1e9;
    }

    public static void main(String[] arguments) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            last.put(exchange.getRequestURI().getPath(), System.nanoTime());
            byte[] answer = "{\"ok\":true,\"team_id\":\"T0\",\"user_id\":\"U0BOT\",\"channel\":\"C0TEAM\",\"ts\":\"1.2\"}".getBytes();
            exchange.getResponseHeaders().set("content-type", "application/json");
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
        var config = new SlackConfig();
        config.setMethodsEndpointUrlPrefix("http://127.0.0.1:" + server.getAddress().getPort() + "/api/");
        var slack = Slack.getInstance(config);

        var client = slack.methodsAsync("xoxb-0");
        client.authTest(request -> request).get();
        List<CompletableFuture<?>> calls = new ArrayList<>();
        for (int i = 0; i < 40; i++) calls.add(client.chatPostMessage(request -> request.channel("C0TEAM").text("x")));
        Thread.sleep(1000);
        long asked = System.nanoTime();
        calls.add(client.viewsOpen(request -> request.triggerId("1.2.3").viewAsString("{}")));
        slack.methods("xoxb-0").viewsPublish(request -> request.userId("U0BOB").viewAsString("{}"));
        System.out.println("a view by the synchronous client within 3 s: " + (seconds("views.publish", asked) < 3));
        CompletableFuture.allOf(calls.toArray(new CompletableFuture[0])).get();
        System.out.println("40 messages take 15 s and more: " + (seconds("chat.postMessage", asked) > 15));
        System.out.println("views.open later than 10 s: " + (seconds("views.open", asked) > 10));

        long begun = System.nanoTime();
        calls.clear();
        for (int i = 0; i < 40; i++) calls.add(slack.methodsAsync("xoxb-0").usersInfo(request -> request.user("U0BOB")));
        CompletableFuture.allOf(calls.toArray(new CompletableFuture[0])).get();
        System.out.println("40 users.info take 8 s and more: " + (seconds("users.info", begun) > 8));
        System.exit(0);
    }
}
JAVA
javac -cp 'lib/*' Run.java
java -cp 'lib/*:.' Run >seen 2>errors || { cat seen errors; exit 1; }
cat >expected <<'TEXT'
a view by the synchronous client within 3 s: true
40 messages take 15 s and more: true
views.open later than 10 s: true
40 users.info take 8 s and more: true
TEXT
diff expected seen
cat seen
