import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Arrays;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/** Presigned URLs, used by Java's own HTTP client; over https it speaks HTTP/2. */
final class Presigned {
    private Presigned() {}

    static void run(S3Client client, S3Presigner presigner) {
        Steps.step("presigned PUT and GET", () -> putAndGet(client, presigner));
    }

    private static void putAndGet(S3Client client, S3Presigner presigner) throws Exception {
        String key = "presigned ü";
        byte[] body = Steps.content(100_000);
        HttpClient http = HttpClient.newHttpClient();
        var put =
                presigner.presignPutObject(
                        sign ->
                                sign.signatureDuration(Duration.ofMinutes(1))
                                        .putObjectRequest(
                                                request ->
                                                        request.bucket(Steps.BUCKET).key(key).contentType("text/plain")));
        HttpResponse<String> stored =
                http.send(
                        HttpRequest.newBuilder(URI.create(put.url().toString()))
                                .header("Content-Type", "text/plain")
                                .PUT(HttpRequest.BodyPublishers.ofByteArray(body))
                                .build(),
                        HttpResponse.BodyHandlers.ofString());
        Steps.same("PUT: " + stored.body(), stored.statusCode(), 200);
        Steps.sameBytes(
                client.getObject(get -> get.bucket(Steps.BUCKET).key(key), ResponseTransformer.toBytes()).asByteArray(), body);
        var get =
                presigner.presignGetObject(
                        sign ->
                                sign.signatureDuration(Duration.ofMinutes(1))
                                        .getObjectRequest(request -> request.bucket(Steps.BUCKET).key(key)));
        HttpResponse<byte[]> range =
                http.send(
                        HttpRequest.newBuilder(URI.create(get.url().toString())).header("Range", "bytes=65000-66000").build(),
                        HttpResponse.BodyHandlers.ofByteArray());
        Steps.same("status", range.statusCode(), 206);
        Steps.sameBytes(range.body(), Arrays.copyOfRange(body, 65_000, 66_001));
    }
}
