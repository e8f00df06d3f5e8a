import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.apache.iceberg.Files;
import org.apache.iceberg.io.FileIO;
import org.apache.iceberg.io.InputFile;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.io.PositionOutputStream;
import org.apache.iceberg.io.SeekableInputStream;

/** Files of {@code file:} locations, which they keep as their names. (Iceberg's own needs Hadoop.) */
public final class LocalFileIO implements FileIO {
  private static final long serialVersionUID = 1;

  @Override
  public InputFile newInputFile(String location) {
    return new LocalInput(location, Files.localInput(path(location)));
  }

  @Override
  public OutputFile newOutputFile(String location) {
    return new LocalOutput(location, Files.localOutput(path(location)));
  }

  @Override
  public void deleteFile(String location) {
    try {
      java.nio.file.Files.deleteIfExists(Path.of(path(location)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String path(String location) {
    return location.replaceFirst("^file:(//)?", "");
  }

  private record LocalInput(String location, InputFile file) implements InputFile {
    @Override
    public long getLength() {
      return file.getLength();
    }

    @Override
    public SeekableInputStream newStream() {
      return file.newStream();
    }

    @Override
    public boolean exists() {
      return file.exists();
    }
  }

  private record LocalOutput(String location, OutputFile file) implements OutputFile {
    @Override
    public PositionOutputStream create() {
      return file.create();
    }

    @Override
    public PositionOutputStream createOrOverwrite() {
      return file.createOrOverwrite();
    }

    @Override
    public InputFile toInputFile() {
      return new LocalInput(location, file.toInputFile());
    }
  }
}
