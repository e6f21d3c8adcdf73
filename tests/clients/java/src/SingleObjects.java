import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.http.ContentStreamProvider;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.ChecksumMode;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.HeadObjectResponse;
import software.amazon.awssdk.services.s3.model.MetadataDirective;
import software.amazon.awssdk.services.s3.model.NoSuchBucketException;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.NoSuchUploadException;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.PutObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;
import software.amazon.awssdk.services.s3.model.Tag;
import software.amazon.awssdk.services.s3.model.UploadPartResponse;

/** The synchronous client: single objects, parts by hand, listings, exceptions. */
final class SingleObjects {
    private static final String KEY = "a letter ü+.txt";

    private final S3Client client;
    private final byte[] body = Steps.content(200_001);

    private SingleObjects(S3Client client) {
        this.client = client;
    }

    static void run(S3Client client) {
        SingleObjects objects = new SingleObjects(client);
        Steps.step("make a bucket and wait for it", objects::bucket);
        Steps.step("put, head and get an object with its metadata", objects::small);
        Steps.step("put an input stream, its checksum in a trailer", objects::stream);
        Steps.step("read ranges", objects::ranges);
        Steps.step("put and get with every checksum", objects::checksums);
        Steps.step("a wrong checksum leaves no object", objects::wrongChecksum);
        Steps.step("conditional writes and reads", objects::conditions);
        Steps.step("copy, with the metadata and with other metadata", objects::copies);
        Steps.step("parts by hand, one of them a copy", objects::parts);
        Steps.step("page through a listing, with the sizes of the plaintext, and delete it", objects::listing);
        Steps.step("tag an object", objects::tags);
        Steps.step("exceptions have their types", objects::exceptions);
    }

    private ResponseBytes<GetObjectResponse> get(String key) {
        return client.getObject(get -> get.bucket(Steps.BUCKET).key(key), ResponseTransformer.toBytes());
    }

    private void bucket() {
        client.createBucket(create -> create.bucket(Steps.BUCKET));
        client.waiter().waitUntilBucketExists(head -> head.bucket(Steps.BUCKET));
    }

    private void small() {
        PutObjectResponse put =
                client.putObject(
                        request ->
                                request.bucket(Steps.BUCKET)
                                        .key(KEY)
                                        .contentType("text/plain")
                                        .metadata(Map.of("note", Steps.CANARY)),
                        RequestBody.fromBytes(body));
        HeadObjectResponse head = client.headObject(request -> request.bucket(Steps.BUCKET).key(KEY));
        Steps.same("length", head.contentLength(), (long) body.length);
        Steps.same("tag", head.eTag(), put.eTag());
        ResponseBytes<GetObjectResponse> answer = get(KEY);
        Steps.same("type", answer.response().contentType(), "text/plain");
        Steps.same("metadata", answer.response().metadata(), Map.of("note", Steps.CANARY));
        Steps.same("whether there is a checksum", put.checksumCRC32() != null, true);
        Steps.sameBytes(answer.asByteArray(), body);
    }

    private void stream() throws Exception {
        byte[] large = Steps.content(3 * Steps.MIB + 7);
        InputStream source = new ByteArrayInputStream(large);
        client.putObject(
                request -> request.bucket(Steps.BUCKET).key("stream"), RequestBody.fromInputStream(source, large.length));
        try (ResponseInputStream<GetObjectResponse> answer =
                client.getObject(request -> request.bucket(Steps.BUCKET).key("stream"))) {
            Steps.sameBytes(answer.readAllBytes(), large);
        }
        // Of a length that the SDK finds out.
        ContentStreamProvider provider = () -> new ByteArrayInputStream(body);
        client.putObject(
                request -> request.bucket(Steps.BUCKET).key("provided"),
                RequestBody.fromContentProvider(provider, "text/plain"));
        Steps.sameBytes(get("provided").asByteArray(), body);
    }

    private void ranges() throws Exception {
        Map<String, int[]> ranges =
                Map.of(
                        "bytes=0-0", new int[] {0, 1},
                        "bytes=65530-131080", new int[] {65_530, 131_081},
                        "bytes=-70000", new int[] {130_001, 200_001});
        ranges.forEach(
                (range, limits) -> {
                    ResponseBytes<GetObjectResponse> answer =
                            client.getObject(
                                    request -> request.bucket(Steps.BUCKET).key(KEY).range(range),
                                    ResponseTransformer.toBytes());
                    String span = "bytes " + limits[0] + "-" + (limits[1] - 1) + "/" + body.length;
                    Steps.same("range", answer.response().contentRange(), span);
                    Steps.sameBytes(answer.asByteArray(), java.util.Arrays.copyOfRange(body, limits[0], limits[1]));
                });
        Steps.refused(
                S3Exception.class,
                416,
                () -> client.getObject(request -> request.bucket(Steps.BUCKET).key(KEY).range("bytes=200001-")).close());
    }

    private void checksums() {
        // CRC64NVME needs the CRT, which is not here.
        for (ChecksumAlgorithm algorithm :
                List.of(ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32_C, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256)) {
            String key = "checksums/" + algorithm;
            client.putObject(
                    request -> request.bucket(Steps.BUCKET).key(key).checksumAlgorithm(algorithm),
                    RequestBody.fromBytes(body));
            ResponseBytes<GetObjectResponse> answer =
                    client.getObject(
                            request -> request.bucket(Steps.BUCKET).key(key).checksumMode(ChecksumMode.ENABLED),
                            ResponseTransformer.toBytes());
            Steps.sameBytes(answer.asByteArray(), body);
            GetObjectResponse head = answer.response();
            boolean there =
                    switch (algorithm) {
                        case CRC32 -> head.checksumCRC32() != null;
                        case CRC32_C -> head.checksumCRC32C() != null;
                        case SHA1 -> head.checksumSHA1() != null;
                        default -> head.checksumSHA256() != null;
                    };
            Steps.same("whether there is a " + algorithm, there, true);
        }
    }

    private void wrongChecksum() throws Exception {
        Steps.refused(
                S3Exception.class,
                400,
                () ->
                        client.putObject(
                                request ->
                                        request.bucket(Steps.BUCKET)
                                                .key("wrong")
                                                .checksumSHA256("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
                                RequestBody.fromBytes(body)));
        Steps.refused(
                NoSuchKeyException.class, 404, () -> client.headObject(request -> request.bucket(Steps.BUCKET).key("wrong")));
    }

    private void conditions() throws Exception {
        String key = "conditional";
        PutObjectResponse made =
                client.putObject(put -> put.bucket(Steps.BUCKET).key(key).ifNoneMatch("*"), RequestBody.fromString("first"));
        Steps.refused(
                S3Exception.class,
                412,
                () ->
                        client.putObject(
                                put -> put.bucket(Steps.BUCKET).key(key).ifNoneMatch("*"),
                                RequestBody.fromString("second")));
        client.putObject(put -> put.bucket(Steps.BUCKET).key(key).ifMatch(made.eTag()), RequestBody.fromString("second"));
        Steps.refused(
                S3Exception.class,
                412,
                () ->
                        client.putObject(
                                put -> put.bucket(Steps.BUCKET).key(key).ifMatch(made.eTag()),
                                RequestBody.fromString("third")));
        String tag = client.headObject(head -> head.bucket(Steps.BUCKET).key(key)).eTag();
        Steps.refused(
                S3Exception.class,
                304,
                () -> client.getObject(get -> get.bucket(Steps.BUCKET).key(key).ifNoneMatch(tag)).close());
        Steps.same("body", get(key).asUtf8String(), "second");
    }

    private void copies() {
        client.copyObject(
                copy ->
                        copy.sourceBucket(Steps.BUCKET).sourceKey(KEY).destinationBucket(Steps.BUCKET).destinationKey("copy"));
        Steps.sameBytes(get("copy").asByteArray(), body);
        Steps.same("metadata", get("copy").response().metadata(), Map.of("note", Steps.CANARY));
        client.copyObject(
                copy ->
                        copy.sourceBucket(Steps.BUCKET)
                                .sourceKey(KEY)
                                .destinationBucket(Steps.BUCKET)
                                .destinationKey("other copy")
                                .metadataDirective(MetadataDirective.REPLACE)
                                .metadata(Map.of("other", Steps.CANARY)));
        Steps.sameBytes(get("other copy").asByteArray(), body);
        Steps.same("metadata", get("other copy").response().metadata(), Map.of("other", Steps.CANARY));
    }

    private void parts() {
        String key = "by hand";
        byte[] part = Steps.content(5 * Steps.MIB);
        String upload =
                client.createMultipartUpload(
                                create ->
                                        create.bucket(Steps.BUCKET).key(key).metadata(Map.of("note", Steps.CANARY)))
                        .uploadId();
        UploadPartResponse first =
                client.uploadPart(
                        request -> request.bucket(Steps.BUCKET).key(key).uploadId(upload).partNumber(1),
                        RequestBody.fromBytes(part));
        String copied =
                client.uploadPartCopy(
                                request ->
                                        request.sourceBucket(Steps.BUCKET)
                                                .sourceKey(KEY)
                                                .copySourceRange("bytes=5-70004")
                                                .destinationBucket(Steps.BUCKET)
                                                .destinationKey(key)
                                                .uploadId(upload)
                                                .partNumber(2))
                        .copyPartResult()
                        .eTag();
        Steps.same(
                "parts",
                client.listParts(list -> list.bucket(Steps.BUCKET).key(key).uploadId(upload)).parts().stream()
                        .map(listed -> listed.size())
                        .toList(),
                List.of((long) part.length, 70_000L));
        client.completeMultipartUpload(
                complete ->
                        complete.bucket(Steps.BUCKET)
                                .key(key)
                                .uploadId(upload)
                                .multipartUpload(
                                        parts ->
                                                parts.parts(
                                                        CompletedPart.builder().partNumber(1).eTag(first.eTag()).build(),
                                                        CompletedPart.builder().partNumber(2).eTag(copied).build())));
        byte[] expected = java.util.Arrays.copyOf(part, part.length + 70_000);
        System.arraycopy(body, 5, expected, part.length, 70_000);
        Steps.sameBytes(get(key).asByteArray(), expected);
    }

    private void listing() {
        Map<String, Long> sizes = new HashMap<>();
        for (int number = 0; number < 12; number++) {
            String key = String.format("pages/%02d ä+&", number);
            byte[] bytes = Steps.content(number * 5_000);
            sizes.put(key, (long) bytes.length);
            client.putObject(put -> put.bucket(Steps.BUCKET).key(key), RequestBody.fromBytes(bytes));
        }
        Map<String, Long> found = new HashMap<>();
        List<ObjectIdentifier> doomed = new ArrayList<>();
        for (S3Object object :
                client.listObjectsV2Paginator(list -> list.bucket(Steps.BUCKET).prefix("pages/").maxKeys(5)).contents()) {
            found.put(object.key(), object.size());
            doomed.add(ObjectIdentifier.builder().key(object.key()).build());
        }
        Steps.same("listing", found, sizes);
        var deleted = client.deleteObjects(delete -> delete.bucket(Steps.BUCKET).delete(these -> these.objects(doomed)));
        Steps.same("errors", deleted.hasErrors(), false);
        Steps.same("deleted", deleted.deleted().size(), sizes.size());
    }

    private void tags() {
        Tag tag = Tag.builder().key("project").value("blue").build();
        client.putObjectTagging(put -> put.bucket(Steps.BUCKET).key(KEY).tagging(tags -> tags.tagSet(tag)));
        Steps.same("tags", client.getObjectTagging(get -> get.bucket(Steps.BUCKET).key(KEY)).tagSet(), List.of(tag));
    }

    private void exceptions() throws Exception {
        Steps.refused(NoSuchKeyException.class, 404, () -> get("missing"));
        Steps.refused(
                NoSuchBucketException.class,
                404,
                () -> client.listObjectsV2(list -> list.bucket(Steps.BUCKET + "-missing")));
        Steps.refused(
                NoSuchUploadException.class,
                404,
                () -> client.abortMultipartUpload(abort -> abort.bucket(Steps.BUCKET).key("missing").uploadId("nothing")));
        Steps.refused(
                NoSuchBucketException.class, 404, () -> client.headBucket(head -> head.bucket(Steps.BUCKET + "-missing")));
    }
}
