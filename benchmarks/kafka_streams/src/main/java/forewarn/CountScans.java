package forewarn;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Counts scans a parcel with exactly-once on and writes a record at every tenth.
 *
 * <p>One stream thread; the store (RocksDB or in memory) has a changelog. TOPIC, OUTPUT, GROUP,
 * BROKER, DATADIR, STORE (rocksdb or memory) and CACHE (bytes; empty: the default) come from the
 * environment. Progress is written to standard error: "done N" ten times a second.
 */
public final class CountScans {
  private static final String COUNTS = "counts";
  private static final AtomicLong DONE = new AtomicLong();

  /** What it reads of a scan. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public record Scan(
      @JsonProperty("parcel_id") String parcelId,
      @JsonProperty("carrier") String carrier,
      @JsonProperty("milestone") String milestone,
      @JsonProperty("occurred_at") String occurredAt) {}

  private static final class Counting implements Processor<byte[], byte[], byte[], byte[]> {
    private final ObjectReader reader = new ObjectMapper().readerFor(Scan.class);
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], Long> counts;

    @Override
    public void init(ProcessorContext<byte[], byte[]> given) {
      context = given;
      counts = given.getStateStore(COUNTS);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      Scan scan = decode(record.value());
      Long before = counts.get(record.key());
      long count = before == null ? 1 : before + 1;
      counts.put(record.key(), count);
      if (count % 10 == 0) {
        String decision = "{\"parcel_id\":\"" + scan.parcelId() + "\",\"scans\":" + count + "}";
        context.forward(record.withValue(decision.getBytes(StandardCharsets.UTF_8)));
      }
      DONE.incrementAndGet();
    }

    private Scan decode(byte[] value) {
      try {
        return reader.readValue(value);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  public static void main(String[] arguments) throws InterruptedException {
    KafkaStreams streams = new KafkaStreams(topology(), settings());
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    while (streams.state() != KafkaStreams.State.ERROR) {
      Thread.sleep(100);
      System.err.println("done " + DONE.get());
    }
    System.exit(1);
  }

  private static Topology topology() {
    var store =
        System.getenv("STORE").equals("memory")
            ? Stores.inMemoryKeyValueStore(COUNTS)
            : Stores.persistentKeyValueStore(COUNTS);
    var builder = Stores.keyValueStoreBuilder(store, Serdes.ByteArray(), Serdes.Long());
    // As the high-level API does by default: writes go through the cache, whose size CACHE sets.
    return new Topology()
        .addSource("scans", System.getenv("TOPIC"))
        .addProcessor("count", Counting::new, "scans")
        .addStateStore(builder.withCachingEnabled(), "count")
        .addSink("decisions", System.getenv("OUTPUT"), "count");
  }

  private static Properties settings() {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("GROUP"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BROKER"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("DATADIR"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(
        StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class.getName());
    settings.put(
        StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class.getName());
    settings.put(
        StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    String cache = System.getenv("CACHE");
    if (cache != null && !cache.isEmpty()) {
      settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.parseLong(cache));
    }
    return settings;
  }

  private CountScans() {}
}
