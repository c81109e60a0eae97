import "./base.css";
import "./controls.css";
import "./layout.css";
import "./sidebar.css";
import "./transcript.css";
import "./markdown.css";
import "./code.css";
import "./composer.css";
