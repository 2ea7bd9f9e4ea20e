// Checks e-invoices by the official rules, all in one run of the Java machine.
//
// In: a folder with NAME.xrechnung.xml, NAME.peppol.xml, NAME.xrechnung-cii.xml, NAME.factur-x.xml and NAME.pdf. Out: a line
// for each finding, FILE <tab> error|warning <tab> RULE <tab> TEXT, and at the end "checked N files". The rules: the schemas of UBL
// 2.1 and CII D16B, the Schematron of EN 16931 (CEN), XRechnung (KoSIT) and Peppol BIS Billing (OpenPeppol), as they are compiled
// to XSLT by their makers; veraPDF for PDF/A-3a; Mustang for the PDF with its XML.

import java.io.File;
import java.io.FileInputStream;
import java.net.URL;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.xml.XMLConstants;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.Schema;
import javax.xml.validation.SchemaFactory;
import net.sf.saxon.s9api.Processor;
import net.sf.saxon.s9api.XdmDestination;
import net.sf.saxon.s9api.XdmNode;
import net.sf.saxon.s9api.XPathCompiler;
import net.sf.saxon.s9api.XdmItem;
import net.sf.saxon.s9api.XsltExecutable;
import net.sf.saxon.s9api.Xslt30Transformer;
import org.mustangproject.validator.ZUGFeRDValidator;
import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion;
import org.verapdf.pdfa.results.ValidationResult;

public class Validate {
    static final String EN_UBL = "external/schematron/1.3.16/ubl/EN16931-UBL-validation.xslt";
    static final String EN_CII = "external/schematron/1.3.16/cii/EN16931-CII-validation.xslt";
    static final String XR_UBL = "external/schematron/3.0.2/XRechnung-UBL-validation.xslt";
    static final String XR_CII = "external/schematron/3.0.2/XRechnung-CII-validation.xslt";
    static final String PEPPOL_CEN = "external/schematron/openpeppol/2026.5/xslt/CEN-EN16931-UBL.xslt";
    static final String PEPPOL = "external/schematron/openpeppol/2026.5/xslt/PEPPOL-EN16931-UBL.xslt";
    static final String FACTUR_X = "xslt/ZF_240/FACTUR-X_EN16931.xslt";
    static final String UBL_INVOICE = "schema/UBL_21/maindoc/UBL-Invoice-2.1.xsd";
    static final String UBL_CREDIT_NOTE = "schema/UBL_21/maindoc/UBL-CreditNote-2.1.xsd";
    static final String CII = "external/schemas/d16b/data/standard/CrossIndustryInvoice_100pD16B.xsd";

    final Processor processor = new Processor(false);
    final Map<String, XsltExecutable> sheets = new HashMap<>();
    final Map<String, Schema> schemas = new HashMap<>();

    public static void main(String[] args) throws Exception {
        Validate validate = new Validate();
        VeraGreenfieldFoundryProvider.initialise();
        File[] files = new File(args[0]).listFiles();
        Arrays.sort(files);
        int checked = 0;
        for (File file : files) {
            String name = file.getName();
            if (name.endsWith(".xrechnung.xml")) {
                validate.ubl(file, List.of(EN_UBL, XR_UBL));
            } else if (name.endsWith(".peppol.xml")) {
                validate.ubl(file, List.of(PEPPOL_CEN, PEPPOL));
            } else if (name.endsWith(".xrechnung-cii.xml")) {
                validate.cii(file, List.of(EN_CII, XR_CII));
            } else if (name.endsWith(".factur-x.xml")) {
                validate.cii(file, List.of(EN_CII, FACTUR_X));
            } else if (name.endsWith(".pdf")) {
                validate.pdf(file);
            } else {
                continue;
            }
            checked++;
        }
        System.out.println("checked " + checked + " files");
    }

    void ubl(File file, List<String> rules) throws Exception {
        String text = java.nio.file.Files.readString(file.toPath());
        schema(file, text.contains("<CreditNote ") ? UBL_CREDIT_NOTE : UBL_INVOICE);
        for (String sheet : rules) schematron(file, sheet);
    }

    void cii(File file, List<String> rules) throws Exception {
        schema(file, CII);
        for (String sheet : rules) schematron(file, sheet);
    }

    void schema(File file, String name) throws Exception {
        Schema schema = schemas.get(name);
        if (schema == null) {
            SchemaFactory factory = SchemaFactory.newInstance(XMLConstants.W3C_XML_SCHEMA_NS_URI);
            schema = factory.newSchema(resource(name));
            schemas.put(name, schema);
        }
        try {
            schema.newValidator().validate(new StreamSource(file));
        } catch (org.xml.sax.SAXException why) {
            finding(file, "error", "XSD", why.getMessage());
        }
    }

    void schematron(File file, String name) throws Exception {
        XsltExecutable sheet = sheets.get(name);
        if (sheet == null) {
            sheet = processor.newXsltCompiler().compile(new StreamSource(resource(name).toString()));
            sheets.put(name, sheet);
        }
        XdmDestination report = new XdmDestination();
        Xslt30Transformer transformer = sheet.load30();
        transformer.transform(new StreamSource(file), report);
        XPathCompiler paths = processor.newXPathCompiler();
        paths.declareNamespace("svrl", "http://purl.oclc.org/dsdl/svrl");
        String failed = "//svrl:failed-assert | //svrl:successful-report";
        int rules = paths.evaluate("//svrl:fired-rule", report.getXdmNode()).size();
        if (rules == 0) finding(file, "error", "none", "no rule of " + name + " applies");
        for (XdmItem item : paths.evaluate(failed, report.getXdmNode())) {
            XdmNode node = (XdmNode) item;
            String flag = paths.evaluateSingle("string((@flag, @role, 'fatal')[1])", node).getStringValue();
            String rule = paths.evaluateSingle("string(@id)", node).getStringValue();
            String where = paths.evaluateSingle("string(@location)", node).getStringValue();
            String text = paths.evaluateSingle("normalize-space(.)", node).getStringValue();
            boolean isError = !flag.equals("warning") && !flag.equals("information");
            finding(file, isError ? "error" : "warning", rule, text + " at " + where.replaceAll("\\*:|\\[namespace-uri\\(\\)='[^']*'\\]", ""));
        }
    }

    void pdf(File file) throws Exception {
        PDFAFlavour flavour = PDFAFlavour.PDFA_3_A;
        try (PDFAParser parser = Foundries.defaultInstance().createParser(new FileInputStream(file), flavour)) {
            ValidationResult result = Foundries.defaultInstance().createValidator(flavour, false).validate(parser);
            for (TestAssertion assertion : result.getTestAssertions()) {
                if (assertion.getStatus() == TestAssertion.Status.FAILED) {
                    finding(file, "error", "veraPDF " + assertion.getRuleId().getClause(), assertion.getMessage());
                }
            }
            if (!result.isCompliant()) finding(file, "error", "veraPDF", "is not PDF/A-3a");
        }
        if (file.getName().endsWith(".plain.pdf")) return;
        ZUGFeRDValidator mustang = new ZUGFeRDValidator();
        String report = mustang.validate(file.getPath());
        Matcher findings = Pattern.compile("<(error|warning|exception|fatal)[^>]*>(.*?)</\\1>", Pattern.DOTALL).matcher(report);
        while (findings.find()) {
            boolean isWarning = findings.group(1).equals("warning");
            finding(file, isWarning ? "warning" : "error", "Mustang", findings.group(2));
        }
        if (!mustang.wasCompletelyValid()) finding(file, "error", "Mustang", "is not valid Factur-X");
    }

    static URL resource(String name) {
        URL url = Validate.class.getClassLoader().getResource(name);
        if (url == null) throw new IllegalStateException("the rules have no " + name);
        return url;
    }

    static void finding(File file, String level, String rule, String text) {
        System.out.println(file.getName() + "\t" + level + "\t" + rule + "\t" + text.replaceAll("\\s+", " "));
    }
}
