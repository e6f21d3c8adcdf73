import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/** The AWS SDK for Java 2, without the CRT. No setting but endpoint, region, credentials (from the environment) and path style. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        Region region = Region.of(Steps.REGION);
        try (S3Client client =
                        S3Client.builder()
                                .endpointOverride(Steps.ENDPOINT)
                                .region(region)
                                .forcePathStyle(true)
                                .build();
                S3AsyncClient multipart =
                        S3AsyncClient.builder()
                                .endpointOverride(Steps.ENDPOINT)
                                .region(region)
                                .forcePathStyle(true)
                                .multipartEnabled(true)
                                .build();
                S3Presigner presigner =
                        S3Presigner.builder()
                                .endpointOverride(Steps.ENDPOINT)
                                .region(region)
                                .serviceConfiguration(
                                        S3Configuration.builder().pathStyleAccessEnabled(true).build())
                                .build()) {
            SingleObjects.run(client);
            Presigned.run(client, presigner);
            Transfers.run(client, multipart);
        }
    }
}
