import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Objects;
import software.amazon.awssdk.services.s3.model.S3Exception;

/** What every scenario uses: the settings that tests/clients/run hands over, steps with one line each, and data to store. */
final class Steps {
    static final int MIB = 1 << 20;
    static final URI ENDPOINT = URI.create(setting("S3_ENDPOINT"));
    static final String REGION = setting("AWS_REGION");
    static final String CANARY = setting("CANARY");
    static final String BUCKET = setting("BUCKET_PREFIX") + "files";

    private Steps() {}

    @FunctionalInterface
    interface Action {
        void run() throws Exception;
    }

    private static String setting(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            System.err.println(name + " is not set; tests/clients/run sets it");
            System.exit(2);
        }
        return value;
    }

    /** Runs one step and says that it held. The first that does not ends the program. */
    static void step(String name, Action action) {
        try {
            action.run();
        } catch (Exception | AssertionError error) {
            System.out.println("fail\t" + name + "\t" + error.toString().replaceAll("\\s+", " "));
            error.printStackTrace();
            System.exit(1);
        }
        System.out.println("ok\t" + name);
    }

    /** {@code length} bytes that hold the canary again and again, with a counter so that no two pieces are alike. */
    static byte[] content(int length) {
        StringBuilder text = new StringBuilder(length + 64);
        for (int line = 0; text.length() < length; line++) {
            text.append(CANARY).append(' ').append(line).append('\n');
        }
        text.setLength(length);
        return text.toString().getBytes(StandardCharsets.ISO_8859_1);
    }

    static void same(String what, Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            throw new AssertionError(what + " is " + actual + ", expected " + expected);
        }
    }

    /** Equal bytes; a difference is told by its position, not by megabytes of output. */
    static void sameBytes(byte[] actual, byte[] expected) {
        int at = Arrays.mismatch(actual, expected);
        if (at >= 0) {
            throw new AssertionError(actual.length + " bytes instead of " + expected.length + ", different from byte " + at);
        }
    }

    /** The service must refuse the action with this exception and status. */
    static void refused(Class<? extends S3Exception> type, int status, Action action) throws Exception {
        try {
            action.run();
        } catch (S3Exception error) {
            if (!type.isInstance(error)) {
                throw error;
            }
            same("status", error.statusCode(), status);
            return;
        }
        throw new AssertionError("nothing was refused; " + type.getSimpleName() + " was expected");
    }
}
