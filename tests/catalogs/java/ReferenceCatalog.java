import java.util.HashMap;
import java.util.Map;
import org.apache.iceberg.CatalogProperties;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/**
 * Serves Iceberg's REST catalog API on loopback, from Apache Iceberg's own server side of it, over a JDBC catalog in a
 * SQLite file.
 *
 * <p>Usage: {@code ReferenceCatalog PORT [PROPERTY=VALUE ...]}, where port 0 means any that is free and the properties are
 * those of a JdbcCatalog ({@code uri}, {@code warehouse}, {@code io-impl}, {@code s3.endpoint}, ...). When it serves, it
 * prints {@code serving on PORT}.
 */
public final class ReferenceCatalog {
  private ReferenceCatalog() {}

  public static void main(String[] arguments) throws Exception {
    JdbcCatalog catalog = new JdbcCatalog();
    catalog.initialize("reference", properties(arguments));

    Server server = new Server();
    ServerConnector connector = new ServerConnector(server, new HttpConnectionFactory(http()));
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(arguments[0]));
    server.addConnector(connector);

    ServletContextHandler context = new ServletContextHandler();
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    server.setHandler(context);
    server.start();
    System.out.println("serving on " + connector.getLocalPort());
    server.join();
  }

  private static Map<String, String> properties(String[] arguments) {
    Map<String, String> properties = new HashMap<>();
    for (int i = 1; i < arguments.length; i++) {
      int equals = arguments[i].indexOf('=');
      properties.put(arguments[i].substring(0, equals), arguments[i].substring(equals + 1));
    }
    // SQLite has one writer at a time: with one connection the others wait for it instead of failing.
    properties.putIfAbsent(CatalogProperties.CLIENT_POOL_SIZE, "1");
    properties.putIfAbsent("jdbc.schema-version", "V1");
    return properties;
  }

  /** Names of several levels come with an encoded separator in the path, which Jetty refuses unless told otherwise. */
  private static HttpConfiguration http() {
    HttpConfiguration http = new HttpConfiguration();
    http.setUriCompliance(UriCompliance.LEGACY);
    http.setSendServerVersion(false);
    return http;
  }
}
