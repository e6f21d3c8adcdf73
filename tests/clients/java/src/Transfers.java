import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.HeadObjectResponse;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.transfer.s3.S3TransferManager;
import software.amazon.awssdk.transfer.s3.model.UploadRequest;

/** The transfer manager on the asynchronous client with its own multipart uploads and downloads. */
final class Transfers {
    private static final int LENGTH = 17 * Steps.MIB + 123;

    private final S3Client client;
    private final S3AsyncClient multipart;
    private final S3TransferManager manager;
    private final byte[] body = Steps.content(LENGTH);

    private Transfers(S3Client client, S3AsyncClient multipart, S3TransferManager manager) {
        this.client = client;
        this.multipart = multipart;
        this.manager = manager;
    }

    static void run(S3Client client, S3AsyncClient multipart) {
        try (S3TransferManager manager = S3TransferManager.builder().s3Client(multipart).build()) {
            Transfers transfers = new Transfers(client, multipart, manager);
            Steps.step("transfer manager: a file up in parts, and down", transfers::file);
            Steps.step("transfer manager: a stream of unknown length", transfers::unknownLength);
            Steps.step("transfer manager: with other checksums", transfers::checksums);
            Steps.step("transfer manager: copy in parts", transfers::copy);
            Steps.step("transfer manager: a directory up and down", transfers::directory);
        }
    }

    private byte[] get(String key) {
        return multipart
                .getObject(get -> get.bucket(Steps.BUCKET).key(key), AsyncResponseTransformer.toBytes())
                .thenApply(ResponseBytes::asByteArray)
                .join();
    }

    private void file() throws Exception {
        Path source = Path.of("up");
        Path target = Path.of("down");
        Files.write(source, body);
        manager.uploadFile(
                        upload ->
                                upload.source(source)
                                        .putObjectRequest(
                                                put ->
                                                        put.bucket(Steps.BUCKET)
                                                                .key("file")
                                                                .metadata(Map.of("note", Steps.CANARY))))
                .completionFuture()
                .join();
        manager.downloadFile(
                        download ->
                                download.destination(target)
                                        .getObjectRequest(get -> get.bucket(Steps.BUCKET).key("file")))
                .completionFuture()
                .join();
        Steps.sameBytes(Files.readAllBytes(target), body);
        HeadObjectResponse head = client.headObject(request -> request.bucket(Steps.BUCKET).key("file"));
        Steps.same("length", head.contentLength(), (long) LENGTH);
        Steps.same("metadata", head.metadata(), Map.of("note", Steps.CANARY));
    }

    private void unknownLength() {
        ExecutorService reader = Executors.newSingleThreadExecutor();
        try {
            AsyncRequestBody source =
                    AsyncRequestBody.fromInputStream(
                            from -> from.inputStream(new ByteArrayInputStream(body)).executor(reader));
            UploadRequest request =
                    UploadRequest.builder()
                            .putObjectRequest(
                                    PutObjectRequest.builder().bucket(Steps.BUCKET).key("unknown length").build())
                            .requestBody(source)
                            .build();
            manager.upload(request).completionFuture().join();
        } finally {
            reader.shutdown();
        }
        Steps.sameBytes(get("unknown length"), body);
    }

    private void checksums() {
        for (ChecksumAlgorithm algorithm : new ChecksumAlgorithm[] {ChecksumAlgorithm.SHA256, ChecksumAlgorithm.CRC32_C}) {
            String key = "large with " + algorithm;
            CompletableFuture<?> stored =
                    multipart.putObject(
                            put -> put.bucket(Steps.BUCKET).key(key).checksumAlgorithm(algorithm),
                            AsyncRequestBody.fromBytes(body));
            stored.join();
            Steps.sameBytes(get(key), body);
        }
    }

    private void copy() {
        manager.copy(
                        copy ->
                                copy.copyObjectRequest(
                                        request ->
                                                request.sourceBucket(Steps.BUCKET)
                                                        .sourceKey("file")
                                                        .destinationBucket(Steps.BUCKET)
                                                        .destinationKey("copy of the file")))
                .completionFuture()
                .join();
        Steps.sameBytes(get("copy of the file"), body);
    }

    private void directory() throws Exception {
        Path source = Path.of("source");
        Path target = Path.of("target");
        Map<String, Integer> files = Map.of("a.txt", 10, "folder/b c+ü.txt", 100_000, "folder/large", 9 * Steps.MIB);
        for (Map.Entry<String, Integer> file : files.entrySet()) {
            Path path = source.resolve(file.getKey());
            Files.createDirectories(path.getParent());
            Files.write(path, java.util.Arrays.copyOf(body, file.getValue()));
        }
        var up =
                manager.uploadDirectory(upload -> upload.source(source).bucket(Steps.BUCKET).s3Prefix("directory"))
                        .completionFuture()
                        .join();
        Steps.same("failed uploads", up.failedTransfers().size(), 0);
        var down =
                manager.downloadDirectory(
                                download ->
                                        download.destination(target)
                                                .bucket(Steps.BUCKET)
                                                .listObjectsV2RequestTransformer(list -> list.prefix("directory/")))
                        .completionFuture()
                        .join();
        Steps.same("failed downloads", down.failedTransfers().size(), 0);
        for (Map.Entry<String, Integer> file : files.entrySet()) {
            byte[] found = Files.readAllBytes(target.resolve(file.getKey()));
            Steps.sameBytes(found, java.util.Arrays.copyOf(body, file.getValue()));
        }
    }
}
